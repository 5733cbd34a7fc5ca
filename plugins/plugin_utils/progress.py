"""When progress is worth a line in the log, and how it reads."""

import time
from typing import Callable

from ansible_collections.one.tm.plugins.module_utils.sizes import human

__metaclass__ = type


class Progress:
    """Decides when progress is worth a line, and writes it."""

    def __init__(
        self,
        name: str,
        show: Callable[[str], None],
        seconds: float = 30.0,
        percent: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            name: of the image.
            show: gets each line.
            seconds: shortest time between lines.
            percent: least progress between lines.
            clock: seconds, monotonic.
        """
        self._name = name
        self._show = show
        self._seconds = seconds
        self._percent = percent
        self._clock = clock
        self._begin = self._last = clock()
        self._shown = 0.0

    def update(self, size: int, done: int, bytes: int) -> None:  # noqa: A002 - a message's field
        """Take where a transfer is, and show it if it is time.

        Args:
            size: bytes of the image.
            done: bytes of the image that are behind.
            bytes: how many went over the wire.
        """
        now = self._clock()
        percent = 100.0 * done / size if size else 100.0
        if now - self._last < self._seconds or percent - self._shown < self._percent:
            return
        self._last, self._shown = now, percent
        elapsed = max(now - self._begin, 0.001)
        left = elapsed * (size - done) / done if done else 0.0
        self._show(
            "%s: %d %% of %s, %s/s, %d s left"
            % (self._name, percent, human(size), human(int(bytes / elapsed)), round(left))
        )
