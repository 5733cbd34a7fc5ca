"""The stream between sender and receiver, and what a receiver makes of a damaged one."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import entries, frames, receiver, sender
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import farside
from ansible_collections.one.tm.plugins.plugin_utils.progress import Progress
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MIB = 1 << 20
PIECE = sender.ZERO_BYTES


def send(source: Path) -> bytes:
    """Give the whole stream of a source."""
    reading, writing = os.pipe()
    config = {"source": str(source), "source_dirs": [], "allowed_dirs": [], "move": False}
    with os.fdopen(reading, "rb") as stream:
        child = os.fork()
        if child == 0:
            sender.run(config, lambda: {"send": True}, writing)
            os._exit(0)
        os.close(writing)
        data = stream.read()
    os.waitpid(child, 0)
    return data


def receive(stream: bytes, destination: Path) -> dict[str, Any]:
    """Give the last message of a receiver of a stream."""
    messages: list[dict[str, Any]] = []
    config: dict[str, Any] = dict.fromkeys(("mode", "owner", "group"))
    config.update(destination=str(destination), into=False, move=False, check=False)
    receiver.run(dict(config, allowed_dirs=[]), io.BytesIO(stream), messages.append)
    return messages[-1]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give an image with data, zeros and a hole."""
    path = tmp_path / "base.img"
    path.write_bytes(os.urandom(3 * PIECE) + bytes(2 * PIECE) + b"end")
    return path


def test_there_and_back(image: Path, tmp_path: Path) -> None:
    """What is sent is received, behind any noise."""
    final = tmp_path / "new" / "disk.0"
    message = receive(b"Welcome\nlast login" + send(image), final)
    assert message["result"]["bytes"] == 3 * PIECE + 3
    assert final.read_bytes() == image.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_cut_off(image: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A stream that ends anywhere leaves nothing, and is told as lost."""
    stream = send(image)
    cut = stream[: data.draw(st.integers(0, len(stream) - 1))]
    message = receive(cut, tmp_path / "new" / "disk.0")
    assert message["error"]["lost"]
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_flipped_bit(image: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A bit flipped in the data is found, and nothing is made."""
    stream = bytearray(send(image))
    begin = stream.index(frames.HEAD.pack(frames.FILE, 0, 0))
    end = len(stream) - frames.HEAD.size
    stream[data.draw(st.integers(begin, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    message = receive(bytes(stream), tmp_path / "new" / "disk.0")
    assert message["error"]["message"]
    assert not list((tmp_path / "new").iterdir())


@given(st.lists(st.integers(0, 2), max_size=40), st.binary(max_size=100))
def test_nonzero_runs(pieces: list[int], tail: bytes) -> None:
    """The runs hold every byte that is not zero, and no piece of zeros."""
    contents = (bytes(PIECE), b"\1" * PIECE, bytes(PIECE - 1) + b"\1")
    block = b"".join(contents[piece] for piece in pieces[:16]) + tail
    runs = list(sender.nonzero_runs(block))
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
        reader.payload(reader.frame().length)


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", "a/", "."])
def test_path_out_of_the_tree(path: str) -> None:
    """A path that could lead out of the received directory is refused."""
    with pytest.raises(TmError, match="inside a directory"):
        entries.Tree.from_json([[path, "file", 0, 0, 0, "", 0, 0, 0]])


def test_full_in_the_middle(image: Path, tmp_path: Path) -> None:
    """A file system that fills up names the directory and what came; the room is given back."""
    stream = tmp_path / "stream"
    header, rest = send(image).split(frames.FILE + bytes(12), 1)
    # The sender said that there are no data, so that the receiver finds room enough.
    told = json.loads(header[header.index(b"{") :])
    told["entries"][0][6] = 0
    body = json.dumps(told).encode()
    parts = [b"\n", frames.MAGIC, frames.HEAD.pack(frames.HEADER, 0, len(body)), body]
    stream.write_bytes(b"".join([*parts, frames.FILE, bytes(12), rest]))
    config: dict[str, Any] = dict.fromkeys(("mode", "owner", "group"))
    small = tmp_path / "small"
    small.mkdir()
    config.update(destination=f"{small}/disk.0", into=False, move=False, check=False)
    program = tmp_path / "program"
    program.write_bytes(farside.program("receive", dict(config, allowed_dirs=[])))
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
    assert json.loads(answer) == {"answer": {"send": True}}
    assert f"no space left in {small}" in json.loads(error)["error"]["message"]


def test_memory(tmp_path: Path) -> None:
    """Sender and receiver stay below 64 MiB whatever the size."""
    source = tmp_path / "base.img"
    block = os.urandom(MIB)
    with source.open("wb") as file:
        for number in range(200):
            file.seek(number * 2 * MIB)
            file.write(block)
        file.truncate(1 << 40)
    config = {"source": str(source), "source_dirs": [], "allowed_dirs": [], "move": False}
    place: dict[str, Any] = dict.fromkeys(("mode", "owner", "group"))
    place.update(destination=str(tmp_path / "x"), into=False, move=False, check=False)
    last, peak = run_both(config, dict(place, allowed_dirs=[]))
    assert last["result"]["bytes"] == 200 * MIB
    assert peak < 64 * MIB


def run_both(config: dict[str, Any], place: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Run both programs; give the receiver's last message and the most memory of either."""
    reading, writing = os.pipe()
    frames.write_all(writing, farside.program("receive", place))
    command = ["/bin/sh", "-c", f"exec {farside.command(sys.executable)}"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=writing) as one,
        subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE) as other,
    ):
        os.close(reading)
        os.close(writing)
        assert one.stdin
        assert other.stdout
        one.stdin.write(farside.program("send", config) + b'{"send": true}\n')
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
        "base.img: 52 % of 100 MiB, 1.7 MiB/s, 29 s left",
        "base.img: 100 % of 100 MiB, 1 MiB/s, 0 s left",
    ]


def test_program_is_small() -> None:
    """The program fits into a pipe, so that it can be written before anybody reads."""
    assert len(farside.program("receive", {})) < 65536
