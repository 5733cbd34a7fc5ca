"""A worker process, as those see it who talk with it: started by us, or forked for us."""

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from typing import IO, Protocol

import msgspec

from tm_ansible.engine.cgroup import Group
from tm_ansible.engine.warm.messages import Answer

# Seconds until the parent of a process that has ended has told how, and has ended what it had
# been lent.
_STATUS_SECONDS = 3.0


class Child(Protocol):
    """What ``subprocess.Popen`` gives, as far as it is needed.

    Attributes:
        pid: its number.
        stdin: leads to it.
        stdout: comes from it.
        stderr: comes from it.
        returncode: as ``subprocess.Popen`` has it, after ``wait``; None if nobody knows.
    """

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    @property
    def returncode(self) -> int | None:
        """Tell how it ended."""

    def kill(self) -> None:
        """Kill it."""

    def wait(self) -> object:
        """Block until it has ended."""


class ForkedChild:
    """A worker that another process has forked, and will tell of.

    Attributes:
        group: that it is in, if there is one.
    """

    def __init__(self, pid: int, stdin: int, stdout: int, stderr: int, answers: int) -> None:
        """Take it over.

        Args:
            pid: its number.
            stdin: descriptor that leads to it.
            stdout: descriptor that comes from it.
            stderr: descriptor that comes from it.
            answers: descriptor with its parent's further answers.

        Raises:
            OSError: no descriptor is left; those given are as they were.
        """
        self.pid = pid
        self.group: Group | None = None
        self._end = open_end(pid)  # first: if it fails, the descriptors are still the caller's
        self.stdin: IO[bytes] | None = os.fdopen(stdin, "wb", 0)
        self.stdout: IO[bytes] | None = os.fdopen(stdout, "rb", 0)
        self.stderr: IO[bytes] | None = os.fdopen(stderr, "rb", 0)
        self.returncode: int | None = None
        self._answers = answers
        self._open = True

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if not self._open:
            return
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._end, signal.SIGKILL)

    def open_end(self) -> int:
        """Return a descriptor that is readable once it has ended."""
        return os.dup(self._end) if self._open else os.eventfd(1, os.EFD_CLOEXEC)

    def wait(self) -> None:
        """Block until it has ended, and learn how."""
        if not self._open:
            return
        is_readable(self._end)
        if is_readable(self._answers, _STATUS_SECONDS):
            line = os.read(self._answers, 4096).partition(b"\n")[0]
            status = msgspec.json.decode(line, type=Answer).status if line else None
            self.returncode = None if status is None else os.waitstatus_to_exitcode(status)
        os.close(self._answers)
        os.close(self._end)
        self._open = False


def end_of(process: Child) -> int:
    """Return a descriptor that is readable once a process of ours has ended.

    Args:
        process: it may have ended; its number may be another's by now, if others wait for it.
    """
    return process.open_end() if isinstance(process, ForkedChild) else open_end(process.pid)


def open_end(pid: int) -> int:
    """Return a descriptor that is readable once a process has ended.

    Args:
        pid: its number; it may have ended.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return os.eventfd(1, os.EFD_CLOEXEC)


def is_readable(descriptor: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor is readable, or the time is over; tell whether it is.

    Args:
        descriptor: to wait for.
        seconds: longest time; None for no limit.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors that are open.

    Args:
        descriptors: their numbers.
    """
    for descriptor in descriptors:
        os.close(descriptor)
