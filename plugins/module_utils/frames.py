"""The wire format between the sender and the receiver of images.

A stream is a magic line followed by frames. A frame is a type (1 byte), an offset (8 bytes,
big-endian), the length of its payload (4 bytes), a check (4 bytes) and the payload. What stands
before the magic line, such as the output of a login script, is skipped.

The check is the CRC-32 of everything else in the frame, so that data count only at their place;
that of a compressed block is the check of the same block uncompressed, so that it proves the whole
way from one file to the other. It finds every damage within 32 neighbouring bits and every two
flipped bits of a block, wherever they are, and all but one in four billion of other damages
(Koopman, «32-Bit Cyclic Redundancy Codes for Internet Applications», 2002). It is there for
defects of programs and machines; against forgers there is ssh, which has a MAC of its own. A
SHA-256 in the same place takes twice the processor time.
"""

import contextlib
import fcntl
import json
import mmap
import os
import struct
import zlib
from typing import Any, BinaryIO, Dict, List, NamedTuple, Union

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

MAGIC = b"one.tm stream 2\n"
NOISE_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
HEADER_BYTES = 1 << 25
FRAME = struct.Struct(">cQI")
CHECK = struct.Struct(">I")
HEAD_BYTES = FRAME.size + CHECK.size
TAIL_BYTES = 64
F_SETPIPE_SZ = 1031

HEADER = b"H"  # payload: JSON
SAME = b"S"  # offset: 1 if the source is the destination, and nothing follows
FILE = b"F"  # offset: index of the entry whose data follow
DATA = b"D"  # offset in the file; payload: bytes
PACKED = b"Z"  # as DATA; payload: the bytes, compressed by zlib
POSITION = b"P"  # everything up to the offset is sent or a hole
SEGMENT = b"G"  # as POSITION; payload: digest of the segment that ends there
END_OF_FILE = b"E"  # offset: size; payload: digest of the last segment
END = b"X"
ERROR = b"!"  # payload: JSON

# Bytes that a payload may have; of other types none.
LIMITS = {
    HEADER: HEADER_BYTES,
    ERROR: HEADER_BYTES,
    DATA: BLOCK_BYTES,
    PACKED: BLOCK_BYTES,
    SEGMENT: 32,
    END_OF_FILE: 32,
}
# Blocks of data that a reader has at a time: the newest, and those that wait for the disk.
KEPT_BLOCKS = 3
# Frames that may lie between damaged data and the sender's word that the source changed.
READ_ON_FRAMES = 64

Buffer = Union[bytes, bytearray, memoryview]

Frame = NamedTuple("Frame", [("type", bytes), ("offset", int), ("length", int), ("check", int)])


class StreamEndError(TmError):
    """The other side, or the connection to it, is gone."""


class CancelError(TmError):
    """The controller has ended the transfer."""


class DamageError(TmError):
    """What came is not what was sent."""


class SourceError(TmError):
    """An error that the sender reported."""


def write_all(descriptor: int, *parts: Buffer) -> None:
    """Write buffers to a file descriptor, as often as it takes."""
    views = [memoryview(part) for part in parts if len(part)]
    while views:
        written = os.writev(descriptor, views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def enlarge(pipe: int) -> None:
    """Let a pipe hold 1 MiB (fcntl(2), F_SETPIPE_SZ), for fewer switches; it works without."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, F_SETPIPE_SZ, BLOCK_BYTES)


def processor_flags() -> List[bytes]:
    """Return what the processor can do, as /proc/cpuinfo names it; nothing where it does not."""
    try:
        with open("/proc/cpuinfo", "rb") as info:
            return info.read(16384).split()
    except OSError:
        return []


def check_of(type_: bytes, offset: int, payload: Buffer) -> int:
    """Return the check of a frame."""
    return zlib.crc32(payload, zlib.crc32(FRAME.pack(type_, offset, len(payload))))


class FrameWriter:
    """Writes a stream to a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Begin with the magic line."""
        self._descriptor = descriptor
        self._splices = True
        write_all(descriptor, b"\n" + MAGIC)

    def write(self, type_: bytes, offset: int = 0, payload: Buffer = b"") -> None:
        """Write one frame."""
        self._write(type_, offset, payload, check_of(type_, offset, payload))

    def write_json(self, type_: bytes, value: Dict[str, Any]) -> None:
        """Write one frame with a JSON payload."""
        self.write(type_, 0, json.dumps(value).encode("ascii"))

    def write_packed(self, offset: int, packed: bytes, check: int) -> None:
        """Write a compressed block; the check is that of its data."""
        self._write(PACKED, offset, packed, check)

    def write_data(self, offset: int, data: memoryview, check: int, file: int) -> None:
        """Write a block of a file.

        The kernel passes the file's pages on where it can, so that they are not copied here.

        Args:
            offset: in the file, in bytes.
            data: what the file has there.
            check: of the frame.
            file: descriptor of the file, or -1 to write ``data`` itself.
        """
        if file < 0 or not self._splices:
            self._write(DATA, offset, data, check)
            return
        self._write_head(DATA, offset, len(data), check)
        done = self._splice(offset, len(data), file)
        write_all(self._descriptor, data[done:])

    def _splice(self, offset: int, length: int, file: int) -> int:
        """Pass on a part of a file; return how much of it went that way."""
        done = 0
        try:
            while done < length:
                count = os.sendfile(self._descriptor, file, offset + done, length - done)
                if not count:
                    break
                done += count
        except BrokenPipeError:
            raise
        except OSError:
            self._splices = False  # not this kind of file, or not to this kind of output
        return done

    def _write(self, type_: bytes, offset: int, payload: Buffer, check: int) -> None:
        head = FRAME.pack(type_, offset, len(payload)) + CHECK.pack(check)
        write_all(self._descriptor, head, payload)

    def _write_head(self, type_: bytes, offset: int, length: int, check: int) -> None:
        write_all(self._descriptor, FRAME.pack(type_, offset, length) + CHECK.pack(check))


class FrameReader:
    """Reads a stream from a binary file; its end before the ``END`` frame is an error."""

    def __init__(self, file: BinaryIO, token: str = "") -> None:
        """Begin.

        Args:
            file: where to read; buffered.
            token: a stream that ends with these characters was cancelled, one that just ends was
                lost; at most 64, or empty.
        """
        self._file = file
        self._token = token.encode("ascii")
        self._tail = b""
        # In pages of their own, as O_DIRECT wants them.
        self._buffers = [memoryview(mmap.mmap(-1, BLOCK_BYTES)) for _ in range(KEPT_BLOCKS)]

    def skip_noise(self) -> None:
        """Read up to and with the magic line.

        Raises:
            TmError: the stream ended (``StreamEndError``), or 1 MiB has passed without it.
        """
        skip_noise(self._file)

    def expect(self, *types: bytes) -> Frame:
        """Read the head of the next frame, which has one of these types.

        Raises:
            SourceError: the sender tells an error instead.
            TmError: as ``frame``, or it has another type.
        """
        frame = self.frame()
        if frame.type == ERROR:
            self._raise_reason(frame)
        if frame.type not in types:
            raise DamageError("the stream is damaged: an unexpected frame %r" % frame.type)
        return frame

    def frame(self) -> Frame:
        """Read the head of the next frame.

        Raises:
            TmError: the stream ended (``StreamEndError``), or this is no frame.
        """
        head = self._bytes(HEAD_BYTES)
        frame = Frame(*(FRAME.unpack(head[: FRAME.size]) + CHECK.unpack(head[FRAME.size :])))
        if frame.length > LIMITS.get(frame.type, 0):
            raise DamageError("the stream is damaged: a frame of %d bytes" % frame.length)
        if not frame.length and frame.check != check_of(frame.type, frame.offset, b""):
            raise DamageError("the stream is damaged: a frame that does not fit its check")
        return frame

    def payload(self, frame: Frame) -> bytes:
        """Read the payload of a frame that is no data.

        Raises:
            TmError: the stream ended (``StreamEndError``), or the payload is damaged.
        """
        payload = self._bytes(frame.length)
        if check_of(frame.type, frame.offset, payload) != frame.check:
            raise DamageError("the stream is damaged: a payload that does not fit its check")
        return payload

    def data(self, frame: Frame) -> Buffer:
        """Read the data of a ``DATA`` or ``PACKED`` frame; valid while the next two are read.

        Raises:
            TmError: the stream ended (``StreamEndError``), or the data are damaged.
        """
        self._buffers.append(self._buffers.pop(0))
        data = self._buffers[0][: frame.length]  # type: Buffer
        self._fill(data)
        if frame.type == PACKED:
            data = unpack(data)
        if check_of(DATA, frame.offset, data) != frame.check:
            raise DamageError("the data at %d were damaged on their way" % frame.offset)
        return data

    def json(self, frame: Frame) -> Dict[str, Any]:
        """Read a JSON payload.

        Raises:
            TmError: as ``payload``, or it is no JSON object.
        """
        payload = self.payload(frame)
        try:
            value = json.loads(payload.decode("ascii"))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise DamageError("the stream is damaged: no JSON object")
        return value

    def raise_reason(self) -> None:
        """Read on after damage: the source may have changed, of which the sender tells soon.

        Raises:
            SourceError: it did.
        """
        for _ in range(READ_ON_FRAMES):
            frame = self.frame()
            if frame.type == ERROR:
                self._raise_reason(frame)
            if frame.type == END:
                return
            self._fill(self._buffers[0][: frame.length])

    def _raise_reason(self, frame: Frame) -> None:
        error = self.json(frame)
        message, detail = error.get("message"), error.get("detail")
        if not isinstance(message, str) or not isinstance(detail, list):
            raise DamageError("the stream is damaged: an error without a message")
        raise SourceError(message, [str(line) for line in detail])

    def _bytes(self, length: int) -> bytes:
        data = self._file.read(length)
        self._passed(data, length)
        return data

    def _fill(self, buffer: Buffer) -> None:
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._passed(buffer[:count], len(buffer))

    def _passed(self, data: Buffer, length: int) -> None:
        """Remember the last bytes that came, and raise if these are fewer than were due."""
        self._tail = (self._tail + bytes(data[-TAIL_BYTES:]))[-TAIL_BYTES:]
        if len(data) == length:
            return
        if self._token and self._tail.endswith(self._token):
            raise CancelError("the transfer was cancelled")
        raise StreamEndError("the stream ended too early")


def unpack(packed: Buffer) -> bytes:
    """Return the data of a compressed block.

    Raises:
        TmError: it is none, or has more than 1 MiB.
    """
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, BLOCK_BYTES)
    except zlib.error as error:
        raise DamageError("a compressed block was damaged on its way: %s" % error) from None
    if not unpacker.eof or unpacker.unused_data:
        raise DamageError("the stream is damaged: a compressed block of a wrong size")
    return data


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
