"""Read and write the data of an image, and leave out its holes and zeros."""

import errno
import os
from typing import Iterator, Tuple

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

BLOCK = 1 << 20
PIECE = 1 << 16
ZEROS = bytes(PIECE)


def extents(descriptor: int, size: int) -> Iterator[Tuple[int, int]]:
    """Yield begin and end of each piece of data in a file, by ``lseek(2)`` SEEK_DATA.

    Args:
        descriptor: of a file or block device.
        size: its length in bytes.
    """
    offset = 0
    while offset < size:
        try:
            begin = os.lseek(descriptor, offset, os.SEEK_DATA)
            end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            begin, end = offset, size
        yield begin, min(end, size)
        offset = end


def read_blocks(path: str, descriptor: int, begin: int, end: int) -> Iterator[Tuple[int, bytes]]:
    """Yield offset and contents of a part of a file, in blocks of at most 1 MiB.

    Args:
        path: its name in messages.
        descriptor: open for reading.
        begin: offset in bytes.
        end: offset in bytes.

    Raises:
        TmError: the file ends before.
    """
    while begin < end:
        block = os.pread(descriptor, min(BLOCK, end - begin), begin)
        if not block:
            raise TmError("%s became shorter while it was copied; stop its writer" % path)
        yield begin, block
        begin += len(block)


def nonzero_runs(block: bytes) -> Iterator[Tuple[int, int]]:
    """Yield start and end of the runs of 64 KiB pieces that are not all zero."""
    start = None
    for offset in range(0, len(block), PIECE):
        # The last piece may be short; ``startswith`` compares in place, without a copy.
        if block.startswith(ZEROS[: len(block) - offset], offset):
            if start is not None:
                yield start, offset
            start = None
        elif start is None:
            start = offset
    if start is not None:
        yield start, len(block)


def write_sparse(descriptor: int, block: bytes, offset: int) -> None:
    """Write a block into a file that is all hole there; pieces of zeros are left out.

    Args:
        descriptor: open for writing.
        block: what to write.
        offset: where it goes, in bytes.
    """
    view = memoryview(block)
    for start, end in nonzero_runs(block):
        write_all(descriptor, view[start:end], offset + start)


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all data at an offset, in as many calls as it takes."""
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done
