"""Read and write the data of an image, and leave out its holes and zeros."""

import errno
import os
from typing import Iterator, Tuple, Union

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

BLOCK = 1 << 20
PIECE = 1 << 12
ZEROS = bytes(PIECE)


def extents(descriptor: int, size: int, start: int = 0) -> Iterator[Tuple[int, int]]:
    """Yield begin and end of each piece of data in a file, by ``lseek(2)`` SEEK_DATA.

    Args:
        descriptor: of a file or block device.
        size: its length in bytes.
        start: where to begin, in bytes.
    """
    offset = start
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


def read_into(
    path: str, descriptor: int, begin: int, end: int, buffer: bytearray
) -> Iterator[Tuple[int, int]]:
    """Read a part of a file into one buffer again and again; yield offset and length each time.

    Args:
        path: its name in messages.
        descriptor: open for reading; between two steps nobody else may move its position.
        begin: offset in bytes.
        end: offset in bytes.
        buffer: what is read begins at its begin.

    Raises:
        TmError: the file ends before.
    """
    view = memoryview(buffer)
    # os.preadv came with Python 3.7.
    os.lseek(descriptor, begin, os.SEEK_SET)
    while begin < end:
        count = os.readv(descriptor, [view[: end - begin]])
        if not count:
            raise TmError("%s became shorter while it was copied; stop its writer" % path)
        yield begin, count
        begin += count


def nonzero_runs(block: Union[bytes, bytearray], length: int = -1) -> Iterator[Tuple[int, int]]:
    """Yield start and end of the runs of 4 KiB pieces that are not all zero.

    Args:
        block: what to look at.
        length: how many bytes of it; all if negative.
    """
    length = len(block) if length < 0 else length
    whole = length - length % PIECE
    # Its first byte tells of nearly all pieces that are not zero; ``startswith`` compares in
    # place, without a copy.
    firsts = block[:whole:PIECE]
    zero = [
        not first and block.startswith(ZEROS, number * PIECE) for number, first in enumerate(firsts)
    ]
    if length % PIECE:
        zero.append(block.startswith(ZEROS[: length - whole], whole))
    first = 0
    while first < len(zero):
        if zero[first]:
            first += 1
            continue
        try:
            after = zero.index(True, first)
        except ValueError:
            after = len(zero)
        yield first * PIECE, min(after * PIECE, length)
        first = after


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
