"""A session takes requests of who started it and of nobody else, and as long as all goes well."""

import fcntl
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.plugin_utils import far_step, farside, relay, sessions
from streams import PLACE, SEND, copy

KEY = "0123456789abcdef" * 2


class Here:
    """This machine, by a connection as to another one."""

    name, python, is_ssh, is_this_user_here = "here", sys.executable, True, False

    def argv(self, command: str) -> list[bytes]:
        """Start a shell command."""
        return [b"/bin/sh", b"-c", b"exec " + command.encode()]


@pytest.fixture
def here() -> Iterator[Any]:
    """Give a host, and end its session."""
    far = Here()
    yield far
    sessions.of(far).end()


@pytest.fixture
def session() -> Iterator[subprocess.Popen[bytes]]:
    """Give a session that takes its first request."""
    command = ["/bin/sh", "-c", f"exec {farside.command(sys.executable)}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        write(process, farside.session(KEY))
        frames.skip_noise(process.stdout)
        yield process
        process.kill()


def write(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Write to a program."""
    assert process.stdin
    process.stdin.write(data)
    process.stdin.flush()


def forged(path: Path, key: bytes = b"") -> bytes:
    """Give a request that would make a file."""
    source = {f"{farside.PACKAGE}.forged": "def main(path):\n    open(path, 'w').close()\n"}
    text = zlib.compress(json.dumps([source, "forged", [str(path)]]).encode())
    return b"%s%s%d\n%s" % (b" " * (0 if key else 20), key, len(text), text)


@pytest.mark.parametrize("key", [b"", b"f" * 32 + b" "])
def test_a_request_of_somebody_else(
    session: subprocess.Popen[bytes], tmp_path: Path, key: bytes
) -> None:
    """What does not begin with the key is not carried out, and ends the session."""
    write(session, forged(tmp_path / "made", key))
    assert session.wait(20) == 1
    assert not (tmp_path / "made").exists()


def test_a_request_with_the_key(session: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The same request is carried out with the key."""
    write(session, forged(tmp_path / "made", KEY.encode() + b" "))
    assert session.stdin
    session.stdin.close()
    assert session.wait(20) == 0
    assert (tmp_path / "made").exists()


def test_a_failed_copy_ends_it(session: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """What a copy that failed has not read is never taken for a request, even with the key."""
    place = {**PLACE, "destination": str(tmp_path / "disk.0")}
    arguments = ("receive", place)
    new = farside.sources("stream", arguments)
    write(session, farside.request(KEY, new, "stream", arguments))
    frames.skip_noise(session.stdout)
    write(session, b"\n" + frames.MAGIC + b"\0" * frames.HEAD_BYTES * 2)
    assert session.stdout
    assert b"error" in session.stdout.readline()
    assert session.wait(20) == 1


def carry(here: Here, source: Path, final: Path) -> dict[str, Any]:
    """Carry an image."""
    place = {**PLACE, "source": str(source), "destination": str(final)}
    sender = Here()
    sender.is_ssh = False
    return relay.Relay(lambda **_progress: None, 60, PLACE["token"]).run(
        relay.Part(sender, "stream", ("send", {**SEND, "source": str(source)})),
        relay.Part(here, "stream", ("receive", place)),
    )


def test_it_outlives_a_sender_that_is_not_needed(here: Here, tmp_path: Path) -> None:
    """A sender that is ended because nothing is to be sent takes no session with it."""
    image, final = tmp_path / "base.img", tmp_path / "disk.0"
    image.write_bytes(b"data")
    copy(image, final)
    session = sessions.of(here)
    for _ in range(3):
        assert carry(here, image, final)["complete"]
        time.sleep(0.2)
        assert sessions.of(here) is session
    assert far_step.take(here, lambda _message: None, "identity", {}, False)["boot"]


def test_small_pipes(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs get through where a user has so many pipes that the kernel makes them small."""
    monkeypatch.setattr(frames, "enlarge", lambda pipe: fcntl.fcntl(pipe, frames.F_SETPIPE_SZ, 1))
    image, final = tmp_path / "base.img", tmp_path / "disk.0"
    image.write_bytes(b"data" * 4096)
    carry(here, image, final)
    assert final.read_bytes() == image.read_bytes()
