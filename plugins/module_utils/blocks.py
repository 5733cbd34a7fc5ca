"""Place, length and check of each block of data of a file; all else in it is zeros.

They are those of the stream that brought the file (``frames``), so that whoever reads it later can
tell whether it still is what came. Their digest is that of a stream in one segment (``segment``).
"""

import os
from typing import Any, Iterator, Tuple

from ansible_collections.one.tm.plugins.module_utils import frames, segment, sparse
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about

__metaclass__ = type

# 16 MiB of memory; an image of 1 TiB whose blocks are as large as they can be.
MOST = 1 << 20


class Blocks:
    """The blocks of one file, in the order of their places."""

    def __init__(self, rows: bytes = b"") -> None:
        """Take what ``rows`` gave, or begin with none."""
        self._rows = bytearray(rows)

    def __iter__(self) -> Iterator[Tuple[int, int, int]]:
        """Yield offset, length and check of each."""
        return iter(segment.BLOCK.iter_unpack(self._rows))

    @property
    def rows(self) -> bytes:
        """Return them as bytes.

        Raises:
            TmError: there are more than can be held.
        """
        if len(self._rows) > MOST * segment.BLOCK.size:
            raise TmError("it consists of more than %d pieces" % MOST)
        return bytes(self._rows)

    def add(self, offset: int, length: int, check: int) -> None:
        """Take a block; one more than can be held at most."""
        if len(self._rows) <= MOST * segment.BLOCK.size:
            self._rows += segment.BLOCK.pack(offset, length, check)

    def read_before(self, path: str, descriptor: int, end: int) -> None:
        """Put those in front that a file has before an offset.

        Args:
            path: its name in messages.
            descriptor: open for reading.
            end: offset in bytes.
        """
        before = Blocks()
        buffer = bytearray(sparse.BLOCK)
        for first, last in sparse.extents(descriptor, end):
            for offset, length in sparse.read_into(path, descriptor, first, last, buffer):
                for start, stop in sparse.nonzero_runs(buffer, length):
                    data = memoryview(buffer)[start:stop]
                    check = frames.check_of(frames.DATA, offset + start, data)
                    before.add(offset + start, len(data), check)
        self._rows[:0] = before.rows

    def digest(self, size: int) -> str:
        """Return the digest of a file of so many bytes that has these blocks, in hexadecimal."""
        whole = segment.SegmentDigest(0)
        for block in self:
            whole.add(*block)
        return whole.finish(size).hex()

    def copy_contents(self, source: Any, descriptor: int, destination: str, meter: Any) -> None:
        """Copy a file that should have these blocks, and prove each as it is read.

        Args:
            source: see ``copying.Source``.
            descriptor: an empty file, open for writing.
            destination: its name in messages.
            meter: measures it.

        Raises:
            DamageError: the source is not what came.
        """
        with about(destination):
            os.ftruncate(descriptor, source.size)
        for offset, length, check in self:
            with about(source.path):
                data = os.pread(source.descriptor, length, offset)
            if frames.check_of(frames.DATA, offset, data) != check:
                raise frames.DamageError("the data at %d are not those that came" % offset)
            meter.move(length)
            with about(destination):
                sparse.write_all(descriptor, memoryview(data), offset)
            meter.reach(offset + length)
        meter.end_file(source.size)
