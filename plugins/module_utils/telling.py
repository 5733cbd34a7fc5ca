"""What the receiver tells of its progress."""

import contextlib
import threading
import time
from typing import Any, Callable, Dict, Iterator

from ansible_collections.one.tm.plugins.module_utils import pace

__metaclass__ = type

PROGRESS_SECONDS = 0.5
BEAT_SECONDS = 10.0

Tell = Callable[[Dict[str, Any]], None]


class Telling:
    """Counts, and passes messages on.

    Attributes:
        tell: passes a message on.
        size: bytes of all files.
        received: bytes of data that have come.
        pacer: limits the rate.
    """

    def __init__(self, tell: Tell, pacer: pace.Pacer) -> None:
        """Take whom to tell, and what limits the rate."""
        self.tell = tell
        self.pacer = pacer
        self.size = 0
        self.received = 0
        self._before = 0  # bytes of the files that are done
        self._told = time.monotonic()

    def at(self, position: int, count: int = 0) -> None:
        """Take notice of how far a file is, and tell now and then.

        Args:
            position: offset in the file, in bytes.
            count: bytes of data that just came.
        """
        self.received += count
        now = time.monotonic()
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            self._tell(position)

    def finish(self, size: int) -> None:
        """Take notice that a file of so many bytes is done."""
        self._before += size

    def _tell(self, position: int) -> None:
        done = self._before + position
        self.tell({"progress": {"done": done, "size": self.size, "bytes": self.received}})

    @contextlib.contextmanager
    def heard(self, position: int) -> Iterator[None]:
        """Tell progress meanwhile: a flush to a slow disk may outlast the longest silence."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                self._tell(position)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
