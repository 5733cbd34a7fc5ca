"""How arriving data reach the disk."""

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import disk, frames
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """Give a new file, open."""
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    yield opened
    os.close(opened)


def pages(length: int) -> memoryview:
    """Give random bytes in pages of their own."""
    view = memoryview(mmap.mmap(-1, max(length, 1)))[:length]
    view[:] = os.urandom(length)
    return view


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9000), st.booleans()), max_size=8),
    st.integers(0, 9000),
)
def test_any_pieces(pieces: list[tuple[int, int, bool]], gap: int) -> None:
    """Pieces of any length, at any place and in any memory, are where they belong."""
    wanted = bytearray()
    opened = os.open("/var/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        with disk.writing(opened) as writer:
            for holes, length, aligned in pieces:
                wanted += bytes(holes * 4096 + gap)
                data = pages(length) if aligned else memoryview(os.urandom(length))
                writer.write(data, len(wanted))
                wanted += data
        end = os.fstat(opened).st_size
        assert os.pread(opened, len(wanted) + 1, 0) == wanted[:end]
        assert not any(wanted[end:])
    finally:
        os.close(opened)


def test_as_many_buffers_as_the_disk_holds(descriptor: int) -> None:
    """A reader that goes round its buffers never overwrites what still waits for the disk."""
    assert frames.KEPT_BLOCKS > disk.HELD_BLOCKS
    buffers = [pages(MIB) for _ in range(frames.KEPT_BLOCKS)]
    with disk.writing(descriptor) as writer:
        for number in range(64):
            buffer = buffers[number % len(buffers)]
            buffer[:] = bytes([number]) * MIB
            writer.write(buffer, number * MIB)
    for number in range(64):
        assert os.pread(descriptor, MIB, number * MIB) == bytes([number]) * MIB


def test_settled_is_written(descriptor: int) -> None:
    """Once it has settled, another reader sees everything."""
    data = pages(MIB)
    with disk.writing(descriptor) as writer:
        writer.write(data, 0)
        writer.settle()
        assert os.pread(descriptor, MIB, 0) == data


def test_full() -> None:
    """A full disk is an error for who writes, and the writer's thread ends nevertheless."""
    before = threading.active_count()
    opened = os.open("/dev/full", os.O_RDWR)
    try:
        with pytest.raises(OSError, match="No space left"):
            write_blocks(opened, 32)
    finally:
        os.close(opened)
    assert threading.active_count() == before


def write_blocks(descriptor: int, count: int) -> None:
    """Write blocks of 1 MiB."""
    data = pages(MIB)
    with disk.writing(descriptor) as writer:
        for number in range(count):
            writer.write(data, number * MIB)


def test_last_error(descriptor: int) -> None:
    """The error of the last block is raised at the end."""
    read_only = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"), disk.writing(read_only) as writer:
            writer.write(b"x", 1)
    finally:
        os.close(read_only)
