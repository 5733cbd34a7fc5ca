"""How a transfer is cancelled: a signal becomes an exception, a token goes to the receiver."""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from typing import Any, Iterator

from ansible_collections.one.tm.plugins.module_utils import frames

__metaclass__ = type

SECONDS = 1.0


class Ended(BaseException):
    """A signal asked this process to end."""


class Ending:
    """Raises ``Ended`` within a block when SIGTERM comes, and lets the signal work behind it.

    Outside the main thread, where there are no handlers, it does nothing.
    """

    def __init__(self) -> None:
        """Prepare."""
        self._is_main = threading.current_thread() is threading.main_thread()
        self._before: Any = None
        self._came = False
        self._interrupts = False

    def __enter__(self) -> "Ending":
        """Take the signal over."""
        if self._is_main:
            self._before = signal.signal(signal.SIGTERM, self._take)
        return self

    def _take(self, *_event: Any) -> None:
        first, self._came = not self._came, True
        if first and self._interrupts:
            raise Ended

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let the signal interrupt this block; one that came before does so at once."""
        self._interrupts = True
        try:
            if self._came:
                raise Ended
            yield
        finally:
            self._interrupts = False

    def __exit__(self, *_error: Any) -> None:
        """Give the signal back, and send it again if it came."""
        if not self._is_main:
            return
        # None: it was not Python that had set what was there before.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if self._before is None else self._before)
        if self._came:
            os.kill(os.getpid(), signal.SIGTERM)


class Cancel:
    """A way into the pipe that a receiver reads, which does not keep the pipe open."""

    def __init__(self, pipe: int, token: str) -> None:
        """Take either end of the pipe, and what tells the receiver that it is cancelled."""
        # By open(2), O_PATH is no use of the file: the pipe ends as if this were not there.
        self._path = os.open("/proc/self/fd/%d" % pipe, os.O_PATH | os.O_CLOEXEC)
        self._token = token.encode("ascii")

    @contextlib.contextmanager
    def telling(self, receiver: "subprocess.Popen[bytes]") -> Iterator[None]:
        """Keep the pipe open for a block that ends all who write; then tell, and wait a second.

        Args:
            receiver: what reads the pipe, here.
        """
        try:
            pipe = os.open("/proc/self/fd/%d" % self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            yield  # nobody reads it any more
            return
        try:
            yield
            end = time.monotonic() + SECONDS
            self._write(pipe)
        finally:
            os.close(pipe)
        with contextlib.suppress(subprocess.TimeoutExpired):
            receiver.wait(max(end - time.monotonic(), 0.0))

    def _write(self, pipe: int) -> None:
        poll = select.poll()
        poll.register(pipe, select.POLLOUT)
        with contextlib.suppress(OSError):
            if poll.poll(SECONDS * 1000):
                frames.write_all(pipe, self._token)

    def close(self) -> None:
        """Forget the pipe."""
        os.close(self._path)
