"""The stream between sender and receiver, and what a receiver makes of a damaged one."""

import ast
import io
import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import streams
from ansible_collections.one.tm.plugins.module_utils import (
    entries,
    frames,
    placing,
    receiver,
    sender,
    sparse,
    telling,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import farside
from ansible_collections.one.tm.plugins.plugin_utils.progress import Progress
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import ANYWHERE

MIB = 1 << 20
PIECE = sparse.PIECE
SEND = {"source_dirs": [], "allowed_dirs": ANYWHERE, "move": False, "directories": True}
ANSWER = {"send": True, "marker": ".tm-none", "name": "disk.0"}


def send(source: Path) -> bytes:
    """Give the whole stream of a source."""
    reading, writing = os.pipe()
    config = {"source": str(source), **SEND}
    with os.fdopen(reading, "rb") as stream:
        child = os.fork()
        if child == 0:
            sender.run(config, lambda: ANSWER, writing)
            os._exit(0)
        os.close(writing)
        data = stream.read()
    os.waitpid(child, 0)
    return data


def place_of(source: Path, destination: Path) -> dict[str, Any]:
    """Give the configuration of a receiver."""
    config: dict[str, Any] = dict.fromkeys(("mode", "owner", "group"))
    config.update(source_host="node1", source=str(source), destination=str(destination))
    return dict(config, into=False, move=False, check=False)


def receive(stream: bytes, source: Path, destination: Path) -> dict[str, Any]:
    """Give the last message of a receiver of a stream."""
    messages: list[dict[str, Any]] = []
    config = place_of(source, destination)
    receiver.run(dict(config, allowed_dirs=ANYWHERE), io.BytesIO(stream), messages.append)
    return messages[-1]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give an image with data, zeros and a hole."""
    path = tmp_path / "base.img"
    path.write_bytes(os.urandom(48 * PIECE) + bytes(2 * PIECE) + b"end")
    return path


def test_there_and_back(image: Path, tmp_path: Path) -> None:
    """What is sent is received, behind any noise."""
    final = tmp_path / "new" / "disk.0"
    message = receive(b"Welcome\nlast login" + send(image), image, final)
    assert message["result"]["bytes"] == 48 * PIECE + 3
    assert final.read_bytes() == image.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, 400), bit=st.integers(0, 7))
def test_flipped_bit_before_the_data(image: Path, tmp_path: Path, place: int, bit: int) -> None:
    """A bit flipped in the offer is found, and nothing is made."""
    stream = bytearray(streams.send(image, {}))
    stream[place % len(stream)] ^= 1 << bit
    message = receive(bytes(stream), image, tmp_path / "new" / "disk.0")
    # Only a flip in front of the magic line is none.
    assert message["error"]["message"] or place == 0
    assert not list(tmp_path.rglob("disk.0"))


@given(st.lists(st.integers(0, 2), max_size=40), st.binary(max_size=100))
def test_nonzero_runs(pieces: list[int], tail: bytes) -> None:
    """The runs hold every byte that is not zero, and no piece of zeros."""
    contents = (bytes(PIECE), b"\1" * PIECE, bytes(PIECE - 1) + b"\1")
    block = b"".join(contents[piece] for piece in pieces[:16]) + tail
    runs = list(sparse.nonzero_runs(block))
    rebuilt = bytearray(len(block))
    for start, end in runs:
        assert start % PIECE == 0
        rebuilt[start:end] = block[start:end]
        assert all(any(block[at : at + PIECE]) for at in range(start, end, PIECE))
    assert rebuilt == block


@given(st.binary(max_size=300).filter(lambda noise: frames.MAGIC not in noise))
def test_no_stream(noise: bytes) -> None:
    """Whatever comes instead of a stream raises our own error."""
    reader = frames.FrameReader(io.BytesIO(noise))
    with pytest.raises(TmError):
        reader.skip_noise()
    reader = frames.FrameReader(io.BytesIO(b"\n" + frames.MAGIC + noise))
    reader.skip_noise()
    with pytest.raises(TmError):
        read_all(reader)


def read_all(reader: frames.FrameReader) -> None:
    """Read frames until there are no more."""
    while True:
        reader.payload(reader.frame())


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", "a/", "."])
def test_path_out_of_the_tree(path: str) -> None:
    """A path that could lead out of the received directory is refused."""
    rest = [0, 0, 0, "", 0, 0, 0]
    with pytest.raises(TmError, match="inside a directory"):
        entries.Tree.from_json([["", "directory", *rest], [path, "file", *rest]])


@pytest.mark.parametrize("way", ["a", "a/b"])
def test_link_in_the_way(way: str) -> None:
    """What would be made through a link of the same stream is refused."""
    rows = [["", "directory"], [way, "link"], [f"{way}/x", "file"]]
    rows[1:1] = [["a", "directory"]] if way != "a" else []
    with pytest.raises(TmError, match="inside a directory"):
        entries.Tree.from_json([[*row, 0, 0, 0, "/etc", 0, 0, 0] for row in rows])


@pytest.mark.parametrize("path", ["/etc/passwd", "/x/other", "/x/../y", "y", "/x/y/", ""])
def test_another_path_than_asked_for(tmp_path: Path, path: str) -> None:
    """A source's host does not choose what is made: another name or directory is refused."""
    offer = placing.Offer(path, None, {})
    config = {"source": "/x//y", "destination": str(tmp_path), "into": True, "move": False}
    with pytest.raises(TmError, match="for /x/y;"):
        placing.find_place(config, offer)
    assert placing.name_of(config["source"], offer._replace(path="/x/y")) == "y"


@pytest.mark.parametrize("into", [True, False])
def test_a_move_lands_under_the_name_asked_for(tmp_path: Path, into: bool) -> None:
    """A host that sends another image by another name gets nothing made or replaced."""
    (tmp_path / "to").mkdir()
    for name in ("disk.1", "to/disk.1"):
        (tmp_path / name).write_bytes(name.encode())
    asked, final = tmp_path / "disk.0", tmp_path / "to" / ("" if into else "disk.0")
    place = dict(place_of(asked, final), into=into, move=True, allowed_dirs=ANYWHERE)
    messages: list[dict[str, Any]] = []
    receiver.run(place, io.BytesIO(send(tmp_path / "disk.1")), messages.append)
    assert f"disk.1' for {asked}" in messages[-1]["error"]["message"]
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["disk.1"]
    assert (tmp_path / "to" / "disk.1").read_bytes() == b"to/disk.1"


def test_state(image: Path) -> None:
    """The state of an image changes with what is written to it, whatever its time says."""
    times = image.stat().st_atime_ns, image.stat().st_mtime_ns
    first = entries.scan(str(image)).state()
    assert entries.scan(str(image)).state() == first
    with image.open("r+b") as file:
        file.write(b"x")
    os.utime(image, ns=times)
    assert entries.scan(str(image)).state() != first


def move_over_the_wire(source: Path, destination: Path) -> dict[str, Any]:
    """Move with a sender in a process of its own; give the receiver's last message."""
    forward, back = os.pipe(), os.pipe()
    config = {"source": str(source), **SEND}
    child = os.fork()
    if child == 0:
        os.close(back[1])
        with os.fdopen(back[0], "rb") as answers:
            line = answers.readline
            sender.run(config, lambda: json.loads(line() or b"{}").get("answer", {}), forward[1])
        os._exit(0)
    os.close(forward[1])
    os.close(back[0])
    messages: list[dict[str, Any]] = []

    def tell(message: dict[str, Any]) -> None:
        messages.append(message)
        if "answer" in message:
            os.write(back[1], json.dumps(message).encode() + b"\n")

    place = dict(place_of(source, destination), into=True, move=True)
    with os.fdopen(forward[0], "rb") as stream:
        receiver.run(dict(place, allowed_dirs=[str(destination.parent)]), stream, tell)
    os.close(back[1])
    os.waitpid(child, 0)
    return messages[-1]


@pytest.fixture
def other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no file known by its numbers and times, as with an old view of a network file system."""
    numbers = itertools.count()
    monkeypatch.setattr(entries, "_identity", lambda _entry: [next(numbers)])


@pytest.mark.usefixtures("other_numbers")
@pytest.mark.parametrize("last", ["images", "images/disk.0", "images/link"])
def test_same_place_by_its_marker(tmp_path: Path, last: str) -> None:
    """Hosts that share a directory find out, whatever numbers they see; nothing is replaced."""
    images = tmp_path / "vms" / "images"
    images.mkdir(parents=True)
    (images / "disk.0").write_bytes(b"data")
    (images / "link").symlink_to("disk.0")
    (tmp_path / "alias").symlink_to("vms")
    paths = [images, images / "disk.0", images / "link"]
    inodes = [path.lstat().st_ino for path in paths]
    message = move_over_the_wire(tmp_path / "alias" / last, tmp_path / "vms" / last)
    assert message["result"]["same"], message
    assert [path.lstat().st_ino for path in paths] == inodes
    assert sorted(images.parent.rglob("*")) == sorted(paths)


@pytest.mark.usefixtures("other_numbers")
def test_into_itself_over_the_wire(tmp_path: Path) -> None:
    """A directory does not go into itself by way of a second host, and nothing is left of it."""
    (tmp_path / "7" / "images").mkdir(parents=True)
    message = move_over_the_wire(tmp_path / "7", tmp_path / "7" / "images")
    assert "into itself" in message["error"]["message"]
    assert list((tmp_path / "7").rglob("*")) == [tmp_path / "7" / "images"]


def test_a_move_trusts_no_time(tmp_path: Path) -> None:
    """Another image of the same size and time is no proof: a move brings the bytes again."""
    (tmp_path / "to").mkdir()
    for directory, data in ((tmp_path, b"new"), (tmp_path / "to", b"old")):
        (directory / "disk.0").write_bytes(data)
        os.utime(directory / "disk.0", (1, 1))
    message = move_over_the_wire(tmp_path / "disk.0", tmp_path / "to" / "disk.0")
    assert message["result"]["changed"]
    assert (tmp_path / "to" / "disk.0").read_bytes() == b"new"


def test_a_slow_flush_is_no_silence(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver says that it lives while the disk takes its time."""
    flush, stream = os.fsync, send(image)
    monkeypatch.setattr(telling, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(os, "fsync", lambda descriptor: [time.sleep(0.1), flush(descriptor)])
    messages: list[dict[str, Any]] = []
    config = place_of(image, tmp_path / "x")
    receiver.run(dict(config, allowed_dirs=ANYWHERE), io.BytesIO(stream), messages.append)
    assert [message for message in messages if "progress" in message]
    assert "result" in messages[-1]


def test_full_in_the_middle(image: Path, tmp_path: Path) -> None:
    """A file system that fills up names the directory and what came; the room is given back."""
    stream = tmp_path / "stream"
    header, same, rest = send(image).partition(frames.FRAME.pack(frames.SAME, 0, 0))
    # The sender said that there are no data, so that the receiver finds room enough.
    before = header.index(frames.MAGIC) + len(frames.MAGIC) + frames.FRAME.size
    told = json.loads(header[before + frames.CHECK.size :])
    told["entries"][0][6] = 0
    body = json.dumps(told).encode()
    head = frames.FRAME.pack(frames.HEADER, 0, len(body))
    check = frames.CHECK.pack(frames.check_of(frames.HEADER, 0, body))
    stream.write_bytes(b"".join([b"\n", frames.MAGIC, head, check, body, same, rest]))
    small = tmp_path / "small"
    small.mkdir()
    config = place_of(image, small / "disk.0")
    program = tmp_path / "program"
    program.write_bytes(farside.program("stream", "receive", dict(config, allowed_dirs=ANYWHERE)))
    script = (
        f"mount -t tmpfs -o size=64k none {shlex.quote(str(small))} || exit 77; "
        f"cat {program} {stream} | {farside.command(sys.executable)}; ls -A {small}"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("a mount namespace is not allowed here")
    *_noise, answer, error = done.stdout.splitlines()
    assert json.loads(answer)["answer"]["send"] is True
    assert f"no space left in {small}" in json.loads(error)["error"]["message"]


def test_memory(tmp_path: Path) -> None:
    """Sender and receiver stay below 64 MiB whatever the size, and holes stay holes."""
    source = tmp_path / "base.img"
    block = os.urandom(MIB)
    with source.open("wb") as file:
        for number in range(512):
            file.seek(number * 7 * MIB)
            file.write(block)
        file.truncate(1 << 40)
    config = {"source": str(source), **SEND}
    place = place_of(source, tmp_path / "x")
    last, peak = run_both(config, dict(place, allowed_dirs=ANYWHERE))
    assert last["result"]["bytes"] == 512 * MIB
    assert peak < 64 * MIB
    assert (tmp_path / "x").stat().st_blocks <= 1.05 * source.stat().st_blocks


def run_both(config: dict[str, Any], place: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Run both programs; give the receiver's last message and the most memory of either."""
    reading, writing = os.pipe()
    frames.write_all(writing, farside.program("stream", "receive", place))
    command = ["/bin/sh", "-c", f"exec {farside.command(sys.executable)}"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=writing) as one,
        subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE) as other,
    ):
        os.close(reading)
        os.close(writing)
        assert one.stdin
        assert other.stdout
        one.stdin.write(
            farside.program("stream", "send", config) + json.dumps(ANSWER).encode() + b"\n"
        )
        one.stdin.flush()
        peak, last = 0, b""
        # Each message, twice a second, is a moment to look: the kernel keeps the high water.
        for line in other.stdout:
            last = line
            peak = max([peak, *(high_water(process.pid) for process in (one, other))])
    return json.loads(last), peak


def high_water(pid: int) -> int:
    """Give the most memory in bytes that a process had, or 0 if it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) * 1024 if found else 0


def test_progress() -> None:
    """Progress is shown after 30 seconds and 10 percent, whichever comes later."""
    now, lines = [0.0], list[str]()
    progress = Progress("base.img", lines.append, clock=lambda: now[0])
    for seconds, done in ((10, 50), (31, 52), (40, 60), (62, 61), (100, 100)):
        now[0] = seconds
        progress.update(size=100 * MIB, done=done * MIB, bytes=done * MIB)
    assert lines == [
        "tm_log: base.img: 52 % of 100.0 MiB, 1.7 MiB/s, 29 s left",
        "tm_log: base.img: 100 % of 100.0 MiB, 1.0 MiB/s, 0 s left",
    ]


@pytest.mark.parametrize("name", ["receive", "send"])
def test_program_is_small(name: str) -> None:
    """The program fits into a pipe with room to spare: it is written before anybody reads."""
    assert len(farside.program("stream", name, {})) < 50_000


def test_program_is_what_was_written() -> None:
    """What is sent differs from the modules in docstrings alone, and has the same lines."""
    sent = farside.sources("stream", ()) | farside.sources("step", ("move",))
    assert len(sent) > 50
    for name, source in sent.items():
        path = Path(farside.PLUGINS, "module_utils", name.rpartition(".")[2] + ".py")
        written = path.read_text()
        assert source.count("\n") == written.count("\n")
        assert code_of(source) == code_of(written)


def code_of(source: str) -> str:
    """Give a source's syntax tree with its lines, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, farside.DOCUMENTED) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree, include_attributes=False)
