"""Write the data of a file that arrives, while the next are read, with little left to flush."""

import contextlib
import errno
import os
import queue
import threading
import time
from typing import Iterator, Union

from ansible_collections.one.tm.plugins.module_utils.sparse import write_all

__metaclass__ = type

# open(2): what O_DIRECT asks of memory, offset and length; no disk has larger sectors.
ALIGNMENT = 4096
BEHIND_BYTES = 4 << 20
MEASURED_BYTES = 64 << 20
MOST_BUSY = 0.9
WAITING = 1
# Blocks that a disk may hold while the next is read: waiting, and one that is being written.
HELD_BLOCKS = WAITING + 1


class Disk:
    """Writes to one file, in the order given, in a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        """Begin.

        Args:
            descriptor: open for writing; it stays the caller's.
        """
        self._output = _Output(descriptor)
        self._blocks = queue.Queue(WAITING)  # type: queue.Queue[Any]
        self._error = None  # type: Optional[Exception]
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def write(self, data: Union[bytes, memoryview], offset: int) -> None:
        """Have data written.

        Args:
            data: they must not change before ``HELD_BLOCKS`` more were given.
            offset: in bytes, never before an earlier one.

        Raises:
            OSError: the disk failed at this or an earlier one, or is full.
        """
        self._blocks.put((memoryview(data), offset))
        self._check()

    def settle(self) -> None:
        """Wait until all is written.

        Raises:
            OSError: as ``write``.
        """
        self._blocks.join()
        self._check()

    def close(self) -> None:
        """Wait until all is written, failed or not, and give back what was opened."""
        self._blocks.put(None)
        self._thread.join()
        self._output.close()

    def _check(self) -> None:
        if self._error:
            raise self._error

    def _work(self) -> None:
        for data, offset in iter(self._blocks.get, None):
            self._take(data, offset)
            self._blocks.task_done()

    def _take(self, data: memoryview, offset: int) -> None:
        if self._error:
            return
        try:
            self._output.write(data, offset)
        except Exception as error:  # whoever gives the next block, or waits, has to hear of any
            self._error = error


@contextlib.contextmanager
def writing(descriptor: int) -> Iterator[Disk]:
    """Give a disk for one file; after the block all is written.

    Raises:
        OSError: as ``Disk.write``.
    """
    disk = Disk(descriptor)
    try:
        yield disk
        disk.settle()
    finally:
        disk.close()


class _Output:
    """Writes past the page cache where that is had and the disk keeps up, and else behind it.

    Past it (O_DIRECT) the data are not copied once more, no page need be found for them, and an
    image larger than the memory pushes out nothing that others read; but one write waits for the
    other. A disk that is far away wants many at a time: where it is busy nearly all of the time,
    the page cache is better.
    """

    def __init__(self, descriptor: int) -> None:
        self._behind = _WriteBehind(descriptor)
        self._direct = _reopen(descriptor)
        self._start_measuring()

    def write(self, data: memoryview, offset: int) -> None:
        done = self._write_direct(data, offset) if self._direct >= 0 else 0
        if done < len(data):
            self._behind.write(data[done:], offset + done)

    def close(self) -> None:
        if self._direct >= 0:
            os.close(self._direct)
            self._direct = -1

    def _write_direct(self, data: memoryview, offset: int) -> int:
        """Write what is aligned, and return how many bytes that was."""
        length = 0 if offset % ALIGNMENT else len(data) - len(data) % ALIGNMENT
        began = time.monotonic()
        try:
            write_all(self._direct, data[:length], offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.close()  # this memory or this file system has other wishes
            return 0
        self._measure(length, time.monotonic() - began)
        return length

    def _start_measuring(self) -> None:
        self._began, self._busy, self._written = time.monotonic(), 0.0, 0

    def _measure(self, count: int, seconds: float) -> None:
        self._busy += seconds
        self._written += count
        if self._written < MEASURED_BYTES:
            return
        if self._busy > MOST_BUSY * (time.monotonic() - self._began):
            self.close()
        self._start_measuring()


def _reopen(descriptor: int) -> int:
    """Open a file once more, past the page cache; return -1 where that is not to be had."""
    try:
        return os.open("/proc/self/fd/%d" % descriptor, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return -1


class _WriteBehind:
    """Writes to the page cache and has the kernel begin with the disk at once.

    Otherwise it would begin when seconds have passed or a tenth of the memory is full, and a flush
    at the end would take the rest. posix_fadvise(2) with DONTNEED begins writing without waiting,
    and gives back the pages that are on the disk.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begin = self._end = 0
        self._pending = 0

    def write(self, data: memoryview, offset: int) -> None:
        write_all(self._descriptor, data, offset)
        self._pending += len(data)
        self._end = offset + len(data)
        if self._pending >= BEHIND_BYTES:
            with contextlib.suppress(OSError):
                length = self._end - self._begin
                os.posix_fadvise(self._descriptor, self._begin, length, os.POSIX_FADV_DONTNEED)
            self._begin, self._pending = self._end, 0
