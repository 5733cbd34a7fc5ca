"""Lines of a pipe, with a time limit for each wait."""

import os
import select
from typing import Iterator

from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type


class Silence(Exception):  # noqa: N818 - it is not an error of the program
    """Nothing came for too long."""


class Lines:
    """Lines of a pipe, with a time limit for each wait."""

    def __init__(self, descriptor: int, seconds: float) -> None:
        """Read from a descriptor, waiting at most so many seconds."""
        self._descriptor = descriptor
        self._seconds = seconds
        self._pending = b""

    def skip_noise(self) -> None:
        """Read up to and with the magic line; see ``frames.skip_noise``."""
        frames.skip_noise(self)

    def readline(self, _limit: int = -1) -> bytes:
        """Return the next line with its end, or nothing at the end."""
        while b"\n" not in self._pending:
            if len(self._pending) > frames.NOISE_BYTES:
                raise TmError("a line of more than 1 MiB came where a message was expected")
            block = self._read()
            if not block:
                return b""
            self._pending += block
        line, _newline, self._pending = self._pending.partition(b"\n")
        return line + b"\n"

    def _read(self) -> bytes:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(self._seconds * 1000):
            raise Silence
        return os.read(self._descriptor, 65536)

    def __iter__(self) -> Iterator[bytes]:
        """Yield lines until the end."""
        return iter(self.readline, b"")
