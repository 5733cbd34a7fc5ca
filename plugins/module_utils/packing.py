"""When to compress blocks on their way: while the way is slower than the compressing."""

import time
import zlib
from typing import Callable, Optional

__metaclass__ = type

LEVEL = 1
MODES = ("never", "always", "auto")
WINDOW_SECONDS = 0.5
SAMPLE_BYTES = 1 << 17
WORTH = 0.9  # of its size: a block that is larger when compressed goes as it is
GAIN = 1.2  # how much faster it has to become
MOST_SKIPS = 64


class Packer:
    """Decides by measuring, half a second at a time, what left against what zlib does here.

    Nothing is compressed, nor even tried, while the output takes less than half of the time: then
    it is the source that is slow.
    """

    def __init__(self, mode: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin.

        Args:
            mode: ``never``, ``always``, or ``auto``.
            clock: seconds.
        """
        self._mode = mode
        self._clock = clock
        self._packing = mode == "always"
        self._plain_rate = 0.0  # bytes a second, when last measured
        self._tries = _Pause()  # windows without, before compressing is tried again
        self._probes = _Pause()  # windows with, before the way is measured again
        self._misses = _Pause()  # blocks that go as they are behind one that did not shrink
        self._open_window()

    def pack(self, data: memoryview) -> Optional[bytes]:
        """Return a block compressed, or None if it is to go as it is.

        Args:
            data: at most 1 MiB.
        """
        if self._mode == "auto" and self._clock() - self._began > WINDOW_SECONDS:
            self._close_window(data)
        if not self._packing or self._misses.is_on():
            return None
        began = self._clock()
        packed = zlib.compress(data, LEVEL)
        self._busy += self._clock() - began
        if len(packed) > WORTH * len(data):
            self._misses.extend()
            return None
        self._misses.end()
        return packed

    def sent(self, count: int, seconds: float) -> None:
        """Take notice of a block.

        Args:
            count: its bytes, before compression.
            seconds: how long its writing took.
        """
        self._bytes += count
        self._blocked += seconds

    def _open_window(self) -> None:
        self._began, self._bytes, self._busy, self._blocked = self._clock(), 0, 0.0, 0.0

    def _close_window(self, data: memoryview) -> None:
        seconds = self._clock() - self._began
        rate = self._bytes / seconds
        if self._packing:
            self._judge(rate, self._busy / seconds)
        elif self._blocked > seconds / 2 and not self._tries.is_on():
            self._plain_rate = rate
            self._try(data[:SAMPLE_BYTES])
        self._open_window()

    def _judge(self, rate: float, busy: float) -> None:
        """Stop if it does not pay, and now and then if zlib is what holds it up."""
        if rate < self._plain_rate:
            self._packing = False
            self._tries.extend()
        elif busy > 0.8 and not self._probes.is_on():
            self._packing = False
            self._probes.extend()

    def _try(self, sample: memoryview) -> None:
        """Begin to compress if a sample tells that it pays."""
        began = self._clock()
        ratio = len(zlib.compress(sample, LEVEL)) / len(sample)
        seconds = max(self._clock() - began, 1e-6)
        rate = min(len(sample) / seconds, self._plain_rate / ratio)
        self._packing = ratio < WORTH and rate > GAIN * self._plain_rate
        if self._packing:
            self._tries.end()
        else:
            self._tries.extend()
            self._probes.end()


class _Pause:
    """How often something is left out; twice as often each time it was in vain."""

    def __init__(self) -> None:
        self._left = self._next = 0

    def is_on(self) -> bool:
        """Tell whether it is left out this time."""
        self._left = max(self._left - 1, 0)
        return self._left > 0

    def extend(self) -> None:
        """It was in vain: leave out more."""
        self._next = min(2 * self._next + 1, MOST_SKIPS)
        self._left = self._next + 1

    def end(self) -> None:
        """It paid."""
        self._left = self._next = 0
