"""How far a copy is: told to whoever listens, kept within the host's bandwidth, summed up."""

import contextlib
import threading
import time
from typing import Any, Callable, Dict, Iterator

from ansible_collections.one.tm.plugins.module_utils.pace import Pacer
from ansible_collections.one.tm.plugins.module_utils.sizes import MIB, rate

__metaclass__ = type

TELL_SECONDS = 0.5
BEAT_SECONDS = 2.0

Tell = Callable[[Dict[str, Any]], None]

_listeners = []  # type: List[Tell]


@contextlib.contextmanager
def heard_by(tell: Tell) -> Iterator[None]:
    """Have what meters tell within the block passed to a function.

    Args:
        tell: gets ``{"progress": {"name": …, "size": …, "done": …, "bytes": …}}``.
    """
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.pop()


class Meter:
    """Measures one copy.

    Attributes:
        bytes: how many were moved so far; holes and shared blocks are not.
        step: most bytes to be moved at a time, so that the limit and progress are kept.
    """

    def __init__(self, name: str, size: int, mib_per_second: float = 0) -> None:
        """Begin.

        Args:
            name: of the image, for people.
            size: bytes of all that is copied, holes included; 0 if nobody knows.
            mib_per_second: the host's limit of bandwidth; 0 for none.
        """
        self._name = name
        self._size = size
        self._pacer = Pacer(mib_per_second)
        self.step = MIB if mib_per_second else 64 * MIB
        self._before = self._done = 0
        self._begin = self._told = time.monotonic()
        self.bytes = 0

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self._begin

    def move(self, count: int) -> None:
        """Wait until so many bytes may move, and count them."""
        self._pacer.take(count)
        self.bytes += count

    def reach(self, position: int) -> None:
        """Take note that a file is copied up to a position, and tell it if it is time."""
        self._done = self._before + position
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._tell()

    def end_file(self, size: int) -> None:
        """Take note that a file of this size is done and another may follow."""
        self._before += size
        self.reach(0)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Tell all the while where the copy is: flushing to a slow disk may take minutes."""
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def summary(self) -> str:
        """Return what was moved, in what time, and how fast, as the end of a sentence."""
        return rate(self.bytes, self.seconds)

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        message = {
            "name": self._name,
            "size": self._size,
            "done": self._done,
            "bytes": self.bytes,
        }
        for tell in _listeners:
            tell({"progress": message})
