"""Copies from a sender to a receiver in this process, with faults between; and both for real."""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.one.tm.plugins.module_utils import frames, receiver, sender
from ansible_collections.one.tm.plugins.plugin_utils import farside
from worlds import ANYWHERE

TOKEN = "0123456789abcdef" * 2
SEND: dict[str, Any] = {
    "source_dirs": [],
    "allowed_dirs": ANYWHERE,
    "move": False,
    "directories": True,
    "compression": "never",
}
PLACE: dict[str, Any] = {
    "source_host": "node1",
    "into": False,
    "move": False,
    "check": False,
    "allowed_dirs": ANYWHERE,
    "mode": None,
    "owner": None,
    "group": None,
    "token": TOKEN,
}

Fault = Callable[[bytes], bytes]


@dataclass(slots=True)
class Copied:
    """How a copy ended.

    Attributes:
        messages: of the receiver.
        sent: bytes of the stream behind the header.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0

    @property
    def last(self) -> dict[str, Any]:
        """The receiver's last message."""
        return self.messages[-1]

    @property
    def result(self) -> dict[str, Any]:
        """The receiver's result."""
        assert "result" in self.last, self.last
        return dict(self.last["result"])

    @property
    def error(self) -> dict[str, Any]:
        """The receiver's error."""
        assert "error" in self.last, self.last
        return dict(self.last["error"])


def send(source: Path, answer: dict[str, Any], **config: Any) -> bytes:
    """Give the whole stream of a source."""
    with tempfile.TemporaryFile() as file:
        whole = {**SEND, **config, "source": str(source)}
        sender.run(whole, lambda: answer, file.fileno())
        file.seek(0)
        return file.read()


def behind_header(stream: bytes) -> bytes:
    """Give what follows the header, which is shorter once the source is some seconds old."""
    begin = stream.index(frames.MAGIC) + len(frames.MAGIC)
    _type, _offset, length = frames.FRAME.unpack_from(stream, begin)
    return stream[begin + frames.HEAD_BYTES + length :]


def copy(
    source: Path, destination: Path, fault: Fault = lambda stream: stream, **config: Any
) -> Copied:
    """Copy; the fault changes what comes behind the header."""
    copied = Copied()
    header = send(source, {}, **config)
    wire = io.BytesIO(header)

    def tell(message: dict[str, Any]) -> None:
        copied.messages.append(message)
        if "answer" in message:
            stream = behind_header(send(source, message["answer"], **config))
            copied.sent = len(stream)
            place = wire.tell()
            wire.write(fault(stream))
            wire.seek(place)

    place = {**PLACE, "source": str(source), **config, "destination": str(destination)}
    receiver.run(place, wire, tell)
    return copied


@contextlib.contextmanager
def program(role: str, config: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """Give a sender or receiver that runs as on a host."""
    command = ["/bin/sh", "-c", f"exec {farside.command(sys.executable)}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(farside.program("stream", role, config))
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


def messages(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what a program tells."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(b"{"):
            yield json.loads(line)


def temporaries(directory: Path) -> list[str]:
    """List the suffixes of the names of ours in a directory."""
    return sorted(name.rpartition(".")[2] for name in names(directory) if ".tm-" in name)


def names(directory: Path) -> list[str]:
    """List the names in a directory."""
    return sorted(path.name for path in directory.iterdir())
