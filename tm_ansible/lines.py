"""Splits a stream of bytes into lines of bounded length."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class LineSplitter:
    """Collects chunks and gives complete lines; holds at most ``limit`` bytes of one.

    Attributes:
        limit: longest line in bytes, without its newline.
        dropped: how many longer lines were thrown away.
    """

    limit: int
    dropped: int = 0
    _part: bytearray = field(default_factory=bytearray)
    _skipping: bool = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take a chunk.

        Args:
            chunk: what was read.

        Yields:
            Each line that the chunk completes, without its newline; too long ones are dropped.
        """
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._add(piece)
            if not self._skipping:
                yield bytes(self._part)
            self._part.clear()
            self._skipping = False
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._part) + len(piece) > self.limit:
            self._part.clear()
            self._skipping = True
            self.dropped += 1
        else:
            self._part += piece
