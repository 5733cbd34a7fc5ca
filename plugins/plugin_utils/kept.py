"""Programs on hosts that outlive the process that started them, for the next one to go on with."""

import os
import select
import subprocess
from typing import Dict, List, NamedTuple, Optional

__metaclass__ = type


class Kept(NamedTuple):
    """A session that nobody uses.

    Attributes:
        connection: which host, as which user, in which way.
        secret: its key, see ``sessions``.
        known: names of the modules that it has.
        pid: of what runs it, here; leader of its process group.
        descriptors: of the pipe that it reads, its output, its errors, and of ``pid``
            (pidfd_open(2)).
    """

    connection: str
    secret: str
    known: List[str]
    pid: int
    descriptors: List[int]


class Keeper:
    """Whoever keeps sessions from one process to the next; this one keeps none.

    Attributes:
        environment: variables for what runs a session, which belongs to no single process.
    """

    environment: Dict[str, str] = {}

    def take(self, connection: str) -> Optional[Kept]:
        """Return a session that was kept, if there is one; it is the caller's then.

        Args:
            connection: as in ``Kept``.
        """

    def made(self, pid: int) -> bool:  # noqa: ARG002 - for others
        """Hear of a new session, if there are variables for it.

        Args:
            pid: of what runs it.

        Returns:
            False if nobody looks after it: it must not be used.
        """
        return True

    def keep(self, kept: Kept) -> None:
        """Take a session that may be kept; its descriptors stay the caller's."""


class KeptProcess:
    """What runs a session, as ``subprocess.Popen`` would show it to who had started it.

    Attributes:
        pid: its number.
        stdin: nothing.
        stdout: comes from it.
        stderr: comes from it.
        end: descriptor of it (pidfd_open(2)).
    """

    stdin = None

    def __init__(self, kept: Kept) -> None:
        """Take it."""
        _pipe, stdout, stderr, self.end = kept.descriptors
        self.pid = kept.pid
        self.stdout = os.fdopen(stdout, "rb", 0)
        self.stderr = os.fdopen(stderr, "rb", 0)

    def poll(self) -> Optional[int]:
        """Return None while it runs, and then 255: only who started it could know."""
        return 255 if self._has_ended(0) else None

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait until it has ended, and return 255.

        Args:
            timeout: longest time in seconds; None for no limit.

        Raises:
            TimeoutExpired: it has not ended by then.
        """
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired("session", timeout or 0)
        return 255

    def close(self) -> None:
        """Let go of what tells its end."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1

    def _has_ended(self, timeout: Optional[float]) -> bool:
        waiting = select.poll()
        waiting.register(self.end, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))
