"""What is left of a copy that was cut off, and how the next one goes on with it."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import files, frames, outgoing, partial, proof
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import PLACE, SEND, TOKEN, copy, messages, names, program, send, temporaries

MIB = 1 << 20
HALF = MIB // 2
FUNCTION = [HealthCheck.function_scoped_fixture]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove every mebibyte of data, however quickly they come."""
    monkeypatch.setattr(outgoing, "SEGMENT_BYTES", MIB)
    monkeypatch.setattr(outgoing, "SEGMENT_SECONDS", 0.0)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give an image: 2 MiB of data, a hole of 1 MiB, 2 MiB of data, and a bit."""
    path = tmp_path / "base.img"
    with path.open("wb") as file:
        file.write(os.urandom(2 * MIB))
        file.seek(MIB, os.SEEK_CUR)
        file.write(os.urandom(2 * MIB) + b"end")
    return path


@pytest.fixture
def final(tmp_path: Path) -> Path:
    """Give the path of a destination in a directory of its own."""
    (tmp_path / "to").mkdir()
    return tmp_path / "to" / "disk.0"


def cut(stream: bytes) -> bytes:
    """End a stream in its middle."""
    return stream[: len(stream) * 6 // 10]


def test_goes_on(image: Path, final: Path) -> None:
    """The next copy of the same source sends only what is not proven, and leaves nothing."""
    first = copy(image, final, cut)
    assert first.error["lost"]
    assert temporaries(final.parent) == ["part", "proven"]
    second = copy(image, final)
    assert second.result["resumed"] >= 2 * MIB
    assert second.result["bytes"] < 3 * MIB
    assert second.sent < first.sent - 2 * MIB
    assert final.read_bytes() == image.read_bytes()
    assert names(final.parent) == [final.name]


def test_goes_on_again_and_again(image: Path, final: Path) -> None:
    """A copy that is cut off several times comes to its end, from hole to hole."""
    offsets = []
    for _ in range(3):
        copied = copy(image, final, lambda stream: stream[: MIB + 4 * frames.HEAD_BYTES + 200])
        offsets.append(copied.messages[0]["answer"]["offset"])
    assert offsets == sorted(set(offsets))
    assert copy(image, final).result["resumed"] > offsets[-1]
    assert final.read_bytes() == image.read_bytes()


@settings(suppress_health_check=FUNCTION, max_examples=30, deadline=None)
@given(data=st.data())
def test_cut_anywhere(image: Path, final: Path, data: st.DataObject) -> None:
    """Wherever it is cut, packed or not, nothing false appears, and the repeated run succeeds."""
    mode = data.draw(st.sampled_from(["never", "always"]))
    where = data.draw(st.integers(0, 5 * MIB))
    first = copy(image, final, lambda stream: stream[: min(where, len(stream) - 1)])
    assert first.error["lost"]
    assert not final.exists()
    assert copy(image, final, compression=mode).result["size"] == image.stat().st_size
    assert final.read_bytes() == image.read_bytes()
    assert names(final.parent) == [final.name]
    final.unlink()


@settings(suppress_health_check=FUNCTION, max_examples=40, deadline=None)
@given(data=st.data())
def test_flipped_anywhere(image: Path, final: Path, data: st.DataObject) -> None:
    """A flipped bit, in data, in packed data or between them, is found, and the room given back."""
    mode = data.draw(st.sampled_from(["never", "always"]))
    place, bit = data.draw(st.integers(0, 5 * MIB)), data.draw(st.integers(0, 7))
    if mode == "always":
        image = image.with_suffix(".text")
        image.write_bytes(b"text " * MIB)

    def flip(stream: bytes) -> bytes:
        changed = bytearray(stream)
        changed[place % len(stream)] ^= 1 << bit
        return bytes(changed)

    failed = copy(image, final, flip, compression=mode)
    assert failed.error["message"]
    assert not final.exists()
    # A flipped length may ask for more than comes.
    assert temporaries(final.parent) in ([["part", "proven"], []] if failed.error["lost"] else [[]])
    assert copy(image, final, compression=mode).result
    assert final.read_bytes() == image.read_bytes()
    final.unlink()


def test_damage_is_not_kept(image: Path, final: Path) -> None:
    """Damage behind proven segments throws these away too: nobody knows what it was."""

    def flip(stream: bytes) -> bytes:
        return stream[: 4 * MIB] + bytes([stream[4 * MIB] ^ 1]) + stream[4 * MIB + 1 :]

    failed = copy(image, final, flip)
    assert "try again" in failed.error["message"]
    assert names(final.parent) == []


@pytest.mark.parametrize("position", [0, 5, frames.HEAD_BYTES, MIB + 7, 3 * MIB, -1, -32])
def test_cancelled(image: Path, final: Path, position: int) -> None:
    """A stream that ends with the token, wherever it is cut, leaves nothing."""
    failed = copy(image, final, lambda stream: stream[:position] + TOKEN.encode())
    assert failed.error["message"]
    assert names(final.parent) == []


def test_part_of_the_token(image: Path, final: Path) -> None:
    """A stream that ends with less than the token was lost, not cancelled."""
    failed = copy(image, final, lambda stream: stream[: 3 * MIB] + TOKEN[1:].encode())
    assert failed.error["lost"]
    assert temporaries(final.parent) == ["part", "proven"]


def changed_source(image: Path, _final: Path) -> None:
    """Write the source again."""
    image.write_bytes(os.urandom(5 * MIB))


def touched_source(image: Path, _final: Path) -> None:
    """Give the source another time."""
    os.utime(image, (1, 1))


def damaged_note(_image: Path, final: Path) -> None:
    """Damage the note."""
    note = Path(files.temporary_name(str(final), "proven"))
    note.write_bytes(note.read_bytes().replace(b'", ', b'",1'))


def garbage_note(_image: Path, final: Path) -> None:
    """Replace the note."""
    Path(files.temporary_name(str(final), "proven")).write_bytes(b"\0" * proof.NOTE_BYTES)


def open_part(_image: Path, final: Path) -> None:
    """Let others write to the part."""
    Path(files.temporary_name(str(final))).chmod(0o666)


def other_part(_image: Path, final: Path) -> None:
    """Put another file in the part's place."""
    part = Path(files.temporary_name(str(final)))
    data = part.read_bytes()
    part.rename(part.with_suffix(".was"))
    part.write_bytes(bytes(len(data)))
    part.chmod(0o600)


def linked_part(_image: Path, final: Path) -> None:
    """Have the part under a second name, by which it can be changed."""
    os.link(files.temporary_name(str(final)), final.parent / "second")


def short_part(_image: Path, final: Path) -> None:
    """Lose the end of the part."""
    os.truncate(files.temporary_name(str(final)), 7)


DOUBTS = [
    changed_source,
    touched_source,
    damaged_note,
    garbage_note,
    open_part,
    other_part,
    linked_part,
    short_part,
]


@pytest.mark.parametrize("doubt", DOUBTS)
def test_any_doubt(image: Path, final: Path, doubt: Any) -> None:
    """Whatever does not fit, the copy begins anew and is right."""
    copy(image, final, cut)
    doubt(image, final)
    assert copy(image, final).result["resumed"] == 0
    assert final.read_bytes() == image.read_bytes()
    assert temporaries(final.parent) in ([], ["was"])


def test_another_source_begins_anew(image: Path, final: Path, tmp_path: Path) -> None:
    """A like image of another path is not continued."""
    copy(image, final, cut)
    other = tmp_path / "other.img"
    image.rename(other)
    assert copy(other, final).result["resumed"] == 0
    assert final.read_bytes() == other.read_bytes()


def test_another_host_begins_anew(image: Path, final: Path) -> None:
    """A host that says of itself and its image what another one said continues nothing of it."""
    copy(image, final, cut, source_host="node2")
    assert temporaries(final.parent) == ["part", "proven"]
    assert copy(image, final).result["resumed"] == 0
    assert final.read_bytes() == image.read_bytes()


def test_a_directory_begins_anew(image: Path, tmp_path: Path) -> None:
    """Nothing of a directory is kept."""
    (tmp_path / "images").mkdir()
    image.rename(tmp_path / "images" / "disk.0")
    (tmp_path / "to").mkdir()
    failed = copy(tmp_path / "images", tmp_path / "to" / "images", cut)
    assert failed.error["lost"]
    assert names(tmp_path / "to") == []


def test_source_changes_meanwhile(image: Path, final: Path) -> None:
    """A source that is written to between offer and data is a failure that keeps nothing."""
    copy(image, final, cut)
    stream = send(image, {"send": True, "marker": ".tm-none", "name": "x", "offset": 0})
    assert b"changed while" not in stream
    header = send(image, {})
    with image.open("r+b") as file:
        file.write(b"other")
    stream = send(image, {"send": True, "marker": ".tm-none", "name": "x", "offset": 2 * MIB})
    assert stream.startswith(header[:20])
    assert copy(image, final).result["resumed"] == 0


def start_big(tmp_path: Path) -> tuple[Path, Path]:
    """Make an image of several segments."""
    image, final = tmp_path / "base.img", tmp_path / "to" / "disk.0"
    image.write_bytes(os.urandom(6 * MIB))
    final.parent.mkdir()
    return image, final


@pytest.mark.parametrize(
    ("end", "left"), [("lost", ["part", "proven"]), ("told", []), ("cancelled", [])]
)
def test_a_receiver_that_is_left_alone(tmp_path: Path, end: str, left: list[str]) -> None:
    """It keeps what is proven if the connection goes, and nothing if it is told to end."""
    image, final = start_big(tmp_path)
    header = send(image, {})
    with program("receive", {**PLACE, "source": str(image), "destination": str(final)}) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(header)
        process.stdin.flush()
        answer = next(messages(process))["answer"]
        stream = send(image, answer)[len(header) :]
        process.stdin.write(stream[: 3 * MIB + HALF])
        process.stdin.flush()
        wait_for_note(final)
        if end == "told":
            process.send_signal(signal.SIGTERM)
        elif end == "cancelled":
            process.stdin.write(TOKEN.encode())
            process.stdin.close()
        else:
            # As sshd does when its connection is gone: nobody reads, nobody writes any more.
            process.stdout.close()
        process.wait(10)
    assert temporaries(final.parent) == left
    assert (copy(image, final).result["resumed"] > 0) == bool(left)
    assert final.read_bytes() == image.read_bytes()


def wait_for_note(final: Path) -> None:
    """Wait until a segment is proven."""
    end = time.monotonic() + 20
    while not Path(files.temporary_name(str(final), "proven")).exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_at_once(image: Path, final: Path) -> None:
    """What one run continues, no other can have."""
    copy(image, final, cut)
    with partial.arriving(str(final), "another source"):
        failed = copy(image, final)
    assert "another run" in failed.error["message"]


def test_sender_config_is_complete() -> None:
    """The harness sends what the action sends."""
    assert set(SEND) | {"source"} == {
        *("source", "source_dirs", "allowed_dirs", "move", "directories", "compression")
    }
