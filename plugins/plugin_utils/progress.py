"""When progress is worth a line in the log, or a message to who watches, and how it reads."""

import json
import time
from typing import Any, Callable, Mapping

from ansible.utils.display import Display
from ansible_collections.one.tm.plugins.module_utils.commands import printable
from ansible_collections.one.tm.plugins.module_utils.sizes import human

__metaclass__ = type

DISPLAY = Display()
# Between two lines of the log lie at least this time and this progress.
LINE_SECONDS = 30.0
LINE_PERCENT = 10.0


class Progress:
    """Decides when progress is worth a line, and writes it."""

    def __init__(
        self,
        name: str,
        show: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        every: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            name: of what is copied.
            show: gets each line, ``tm_log: …`` or ``tm_progress: …``.
            clock: seconds, monotonic.
            every: shortest time between messages for a program that watches; 0 for none.
        """
        self._show = show
        self._clock = clock
        self._every = every
        self._told = float("-inf")
        self._begin_with(name)

    def update(self, size: int, done: int, bytes: int, name: str = "") -> None:  # noqa: A002
        """Take where a copy is, and show it if it is time.

        Args:
            size: bytes of what is copied; 0 if nobody knows.
            done: bytes of it that are behind.
            bytes: how many were moved.
            name: of what is copied; none for the one that was given first.
        """
        if name and name != self._name:
            self._begin_with(name)
        now = self._clock()
        if self._every and now - self._told >= self._every:
            self._told = now
            message = {"name": self._name, "size": size, "done": done, "bytes": bytes}
            self._show("tm_progress: " + json.dumps(message))
        percent = 100.0 * done / size if size else self._shown + LINE_PERCENT
        if now - self._last >= LINE_SECONDS and percent - self._shown >= LINE_PERCENT:
            self._last, self._shown = now, percent
            self.say(self._line(size, done, bytes))

    def say(self, sentence: str) -> None:
        """Show a sentence in the log at once."""
        self._show("tm_log: " + printable(sentence))

    def _begin_with(self, name: str) -> None:
        self._name = name
        self._begin = self._last = self._clock()
        self._shown = 0.0

    def _line(self, size: int, done: int, moved: int) -> str:
        elapsed = max(self._clock() - self._begin, 0.001)
        speed = human(int(moved / elapsed)) + "/s"
        if not size:
            return "%s: %s, %s" % (self._name, human(done), speed)
        left = _time(round(elapsed * (size - done) / done)) if done else "an unknown time"
        percent = 100 * done // size
        return "%s: %d %% of %s, %s, %s left" % (self._name, percent, human(size), speed, left)


def _time(seconds: int) -> str:
    return "%d s" % seconds if seconds < 60 else "%d min %d s" % divmod(seconds, 60)


def of_task(name: str, variables: Mapping[str, Any]) -> Progress:
    """Return what shows the progress of a task.

    Args:
        name: of what is copied.
        variables: of the task; ``tm_progress_seconds`` asks for messages to who watches.
    """
    return Progress(name, DISPLAY.display, every=float(variables.get("tm_progress_seconds") or 0))
