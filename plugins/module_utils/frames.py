"""The wire format between the sender and the receiver of images.

A stream is a magic line followed by frames. A frame is a type (1 byte), an offset (8 bytes,
big-endian), the length of its payload (4 bytes) and the payload. What stands before the magic
line, such as the output of a login script, is skipped.
"""

import hashlib
import json
import os
import struct
from typing import Any, BinaryIO, Dict, List, NamedTuple, Union

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

MAGIC = b"one.tm stream 1\n"
NOISE_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
HEADER_BYTES = 1 << 25
HEAD = struct.Struct(">cQI")

HEADER = b"H"  # payload: JSON
SAME = b"S"  # offset: 1 if the source is the destination, and nothing follows
FILE = b"F"  # offset: index of the entry whose data follow
DATA = b"D"  # offset in the file; payload: bytes
POSITION = b"P"  # everything up to the offset is sent or a hole
END_OF_FILE = b"E"  # offset: size; payload: digest
END = b"X"
ERROR = b"!"  # payload: JSON

# Bytes that a payload may have; of other types none.
LIMITS = {HEADER: HEADER_BYTES, ERROR: HEADER_BYTES, DATA: BLOCK_BYTES, END_OF_FILE: 64}

Buffer = Union[bytes, bytearray, memoryview]

Frame = NamedTuple("Frame", [("type", bytes), ("offset", int), ("length", int)])


def write_all(descriptor: int, *parts: Buffer) -> None:
    """Write buffers to a file descriptor, as often as it takes."""
    views = [memoryview(part) for part in parts if len(part)]
    while views:
        written = os.writev(descriptor, views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def processor_flags() -> List[bytes]:
    """Return what the processor can do, as /proc/cpuinfo names it; nothing where it does not."""
    try:
        with open("/proc/cpuinfo", "rb") as info:
            return info.read(16384).split()
    except OSError:
        return []


def fast_digest() -> str:
    """Return the name of the quickest strong digest here.

    SHA-256 runs at twice the speed of BLAKE2b where the processor has instructions for it, and
    at half of it elsewhere.
    """
    flags = processor_flags()
    return "sha256" if b"sha_ni" in flags or b"sha2" in flags else "blake2b"


class StreamEndError(TmError):
    """The other side, or the connection to it, is gone."""


class FileDigest:
    """A digest of a file as it is sent: where its data lie, what they are, and its size."""

    def __init__(self, name: str) -> None:
        """Begin.

        Raises:
            TmError: the digest is not known.
        """
        if name not in ("sha256", "blake2b"):
            raise TmError("the digest %r is not known" % name)
        self._hash = getattr(hashlib, name)()

    def add(self, offset: int, data: Buffer) -> None:
        """Take data at an offset, cut as they were sent."""
        self._hash.update(b"%d+%d;" % (offset, len(data)))
        self._hash.update(data)

    def finish(self, size: int) -> bytes:
        """Return the digest of a file of this size in bytes."""
        self._hash.update(b"=%d" % size)
        return self._hash.digest()


class FrameWriter:
    """Writes a stream to a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Begin with the magic line."""
        self._descriptor = descriptor
        write_all(descriptor, b"\n" + MAGIC)

    def write(self, type_: bytes, offset: int = 0, payload: Buffer = b"") -> None:
        """Write one frame."""
        write_all(self._descriptor, HEAD.pack(type_, offset, len(payload)), payload)

    def write_json(self, type_: bytes, value: Dict[str, Any]) -> None:
        """Write one frame with a JSON payload."""
        self.write(type_, 0, json.dumps(value).encode("ascii"))


class FrameReader:
    """Reads a stream from a binary file; its end before the ``END`` frame is an error."""

    def __init__(self, file: BinaryIO) -> None:
        """Read from ``file``, which must be buffered."""
        self._file = file

    def skip_noise(self) -> None:
        """Read up to and with the magic line.

        Raises:
            TmError: the stream ended (``StreamEndError``), or 1 MiB has passed without it.
        """
        skip_noise(self._file)

    def frame(self) -> Frame:
        """Read the head of the next frame.

        Raises:
            TmError: the stream ended (``StreamEndError``), or this is no frame.
        """
        frame = Frame(*HEAD.unpack(self.payload(HEAD.size)))
        if frame.length > LIMITS.get(frame.type, 0):
            raise TmError("the stream is damaged: a frame of %d bytes" % frame.length)
        return frame

    def payload(self, length: int) -> bytes:
        """Read so many bytes.

        Raises:
            StreamEndError: the stream ended.
        """
        data = self._file.read(length)
        if len(data) < length:
            raise StreamEndError("the stream ended too early")
        return data

    def payload_into(self, buffer: memoryview) -> None:
        """Fill a buffer.

        Raises:
            StreamEndError: the stream ended.
        """
        if self._file.readinto(buffer) < len(buffer):  # type: ignore[attr-defined]
            raise StreamEndError("the stream ended too early")

    def json(self, length: int) -> Dict[str, Any]:
        """Read a JSON payload."""
        value = json.loads(self.payload(length).decode("ascii"))
        if not isinstance(value, dict):
            raise TmError("the stream is damaged: no JSON object")
        return value


def skip_noise(file: BinaryIO) -> None:
    """Read a binary file up to and with the magic line.

    Raises:
        TmError: the file ended (``StreamEndError``), or 1 MiB has passed without it.
    """
    seen = 0
    while seen < NOISE_BYTES:
        line = file.readline(len(MAGIC) + 4096)
        if line == MAGIC:
            return
        if not line:
            raise StreamEndError("the other side ended before it began")
        seen += len(line)
    raise TmError("the other side says too much before it begins: look at its login scripts")
