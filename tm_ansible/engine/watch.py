"""A worker's ear for the driver, and its eye on limits."""

import os
import select
import sys
import threading
import time
from typing import Protocol

from tm_ansible.engine import marked
from tm_ansible.lines import LineSplitter

# Seconds between two looks at the limits.
_LOOK_SECONDS = 0.25
# Seconds for the end of a run that has nothing to do any more.
_END_SECONDS = 2.0
_CHUNK = 65536
ORDER_BYTES = 1 << 20


class Watched(Protocol):
    """A run, to who watches it."""

    def exceeded(self) -> str | None:
        """Tell which limit is over, or ``""``; None if there is nothing to do."""

    def take(self, line: bytes) -> None:
        """Take the next job, a line of stdin."""

    def dismiss(self) -> None:
        """Have the run end, which has nothing to do."""

    def leave(self) -> None:
        """Hear that something of the run does not end."""


class Watch(threading.Thread):
    """Ends the run when nobody wants it any more, or when it exceeds a limit.

    It signals everything that bears the run's marker, because ansible-runner knows only its own
    child, and Ansible's workers have sessions of their own.

    Attributes:
        cause: why the run was ended; ``""`` if it was not.
        cancelled: whether that was because nobody wanted it any more.
    """

    def __init__(self, marker: str, run: Watched) -> None:
        """Prepare to watch.

        Args:
            marker: of the run.
            run: what the driver may ask for, and what is to be asked.
        """
        super().__init__(name="watch", daemon=True)
        self._marker = marker
        self._run = run
        self._lines = LineSplitter(ORDER_BYTES)
        self.cause = ""
        self.cancelled = False

    def run(self) -> None:
        """Watch until the run is to end, and end it."""
        while not self.cause:
            if select.select([0], [], [], _LOOK_SECONDS)[0]:
                self._read()
            else:
                self.cause = self._run.exceeded() or ""
        while (left := self._end_all()) is None:
            time.sleep(_LOOK_SECONDS)
        if left:
            self._run.leave()

    def _read(self) -> None:
        if chunk := os.read(0, _CHUNK):
            for line in self._lines.feed(chunk):
                self._run.take(line)
            return
        if self._run.exceeded() is None:
            self._run.dismiss()
            time.sleep(_END_SECONDS)  # the process exits meanwhile
        self.cause, self.cancelled = "cancelled", True

    def _end_all(self) -> list[int] | None:
        """End the run, and give what does not end; None if nobody can tell.

        Looking takes descriptors.
        """
        try:
            return marked.end(self._marker)
        except OSError as error:
            sys.stderr.write(f"looking for processes of {self._marker}: {error}\n")
            return None
