"""The data of one file on their way out: blocks, each with its check, and segments of them."""

import os
import stat
import time
from typing import Any

from ansible_collections.one.tm.plugins.module_utils import entries, frames, pace, packing, sparse
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.segment import SegmentDigest

__metaclass__ = type

POSITION_SECONDS = 0.5
SEGMENT_BYTES = 64 << 20
SEGMENT_SECONDS = 1.0


class Outgoing:
    """Writes files to a stream, through one buffer."""

    def __init__(
        self, writer: frames.FrameWriter, packer: packing.Packer, pacer: pace.Pacer
    ) -> None:
        """Take where to write, what decides about compression, and what limits the rate."""
        self._writer = writer
        self._packer = packer
        self._pacer = pacer
        self._buffer = bytearray(sparse.BLOCK)
        self._view = memoryview(self._buffer)

    def send(self, path: str, entry: entries.Entry, begin: int = 0) -> None:
        """Write the data of a file.

        Args:
            path: where it is; a symbolic link is not followed.
            entry: what it was when it was offered.
            begin: offset in bytes; what is before is there already.

        Raises:
            TmError: it is not what was offered, or changed meanwhile.
            OSError: it cannot be read, or nobody reads the stream.
        """
        # The root's path is real already; an entry that became a link is not to be followed.
        path = path.rstrip("/")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            source = _Source(path, descriptor, entry)
            # A directory above it that became a link would have led elsewhere.
            if os.readlink("/proc/self/fd/%d" % descriptor) != path:
                raise TmError("%s was replaced while it was copied; stop what does it" % path)
            source.check_unchanged()
            with about(path):
                digest = self._send_data(source, begin)
            source.check_unchanged()
        finally:
            os.close(descriptor)
        self._writer.write(frames.END_OF_FILE, entry.size, digest)

    def _send_data(self, source: "_Source", begin: int) -> bytes:
        segment = _Segment(begin)
        told = time.monotonic()
        for first, end in sparse.extents(source.descriptor, source.size, begin):
            blocks = sparse.read_into(source.path, source.descriptor, first, end, self._buffer)
            for offset, length in blocks:
                for start, stop in sparse.nonzero_runs(self._buffer, length):
                    self._send_run(source, offset + start, self._view[start:stop], segment)
                source.check_unchanged()
                position = offset + length
                if segment.is_long():
                    self._writer.write(frames.SEGMENT, position, segment.digest.finish(position))
                    segment, told = _Segment(position), time.monotonic()
                elif time.monotonic() - told > POSITION_SECONDS:
                    self._writer.write(frames.POSITION, position)
                    told = time.monotonic()
        return segment.digest.finish(source.size)

    def _send_run(
        self, source: "_Source", offset: int, data: memoryview, segment: "_Segment"
    ) -> None:
        check = frames.check_of(frames.DATA, offset, data)
        segment.add(offset, len(data), check)
        packed = self._packer.pack(data)
        began = time.monotonic()
        # A limit is a slow way, for which compression may be worth its time.
        self._pacer.take(len(data if packed is None else packed))
        if packed is None:
            self._writer.write_data(offset, data, check, source.pages)
        else:
            self._writer.write_packed(offset, packed, check)
        self._packer.sent(len(data), time.monotonic() - began)


class _Source:
    """A file that is sent.

    Attributes:
        path: its path, for messages.
        descriptor: open for reading.
        size: in bytes, as it was offered.
        pages: the descriptor where its pages may be passed on, else -1.
    """

    def __init__(self, path: str, descriptor: int, entry: entries.Entry) -> None:
        self.path, self.descriptor, self.size = path, descriptor, entry.size
        self._entry = entry
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        # A page that is written to while it is in a pipe changes there too. A file tells of that
        # by its time, a disk does not.
        self.pages = descriptor if is_file else -1

    def check_unchanged(self) -> None:
        """Refuse a source that is not what was offered.

        Raises:
            TmError: it is not.
        """
        status = os.fstat(self.descriptor)
        if entries.changed(self._entry, status) or not self._is_there(status):
            raise TmError("%s changed while it was copied; stop what writes to it" % self.path)

    def _is_there(self, status: os.stat_result) -> Any:
        return os.lstat(self.path).st_ino == status.st_ino


class _Segment:
    """What was sent since the last segment."""

    def __init__(self, begin: int) -> None:
        self.digest = SegmentDigest(begin)
        self._bytes = 0
        self._began = time.monotonic()

    def add(self, offset: int, length: int, check: int) -> None:
        """Take a block."""
        self.digest.add(offset, length, check)
        self._bytes += length

    def is_long(self) -> bool:
        """Tell whether it is worth to be flushed and noted."""
        seconds = time.monotonic() - self._began
        return self._bytes >= SEGMENT_BYTES and seconds >= SEGMENT_SECONDS
