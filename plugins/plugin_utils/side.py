"""One of the two programs of a transfer, running, and why it ended."""

import os
import select
import signal
import subprocess
import threading
from typing import Any, List, Mapping, Optional

from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import farside
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far

__metaclass__ = type

STDERR_BYTES = 8192
END_SECONDS = 5.0
# The driver tells the processes of a run to end; those with this variable last, so that what
# started them can end them in its own way.
LAST = "TM_ANSIBLE_LAST"


def start(
    host: Far, stdin: int, stdout: int, environment: Optional[Mapping[str, str]] = None
) -> "subprocess.Popen[bytes]":
    """Start what runs a program that it reads from its standard input.

    Args:
        host: where.
        stdin: descriptor, or ``subprocess.PIPE``.
        stdout: descriptor, or ``subprocess.PIPE``.
        environment: variables of the process here, besides those of this one.
    """
    return subprocess.Popen(
        host.argv(farside.command(host.python)),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, LAST: "1", **(environment or {})},
    )


class Side:
    """One of the two programs, running.

    Attributes:
        host: where it runs.
        process: what runs it, here.
    """

    def __init__(self, host: Far, process: Any) -> None:
        """Take it.

        Args:
            host: where it runs.
            process: from ``start``, or a ``Fork``.
        """
        self.host = host
        self.process = process
        self._stderr = b""
        self._over = os.eventfd(0, os.EFD_CLOEXEC)  # type: Optional[int]
        self._reader = threading.Thread(
            target=self._read_stderr, args=(process.stderr.fileno(), self._over), daemon=True
        )
        self._reader.start()

    def _read_stderr(self, errors: int, over: int) -> None:
        waiting = select.poll()
        for descriptor in (errors, over):
            waiting.register(descriptor, select.POLLIN)
        while over not in [ready for ready, _ in waiting.poll()]:
            block = os.read(errors, STDERR_BYTES)
            if not block:
                return
            self._stderr = (self._stderr + block)[-STDERR_BYTES:]

    def stop_reading(self) -> None:
        """Read no more of its errors: somebody else is to do that."""
        if self._over is not None:
            os.eventfd_write(self._over, 1)
            self._reader.join()
            os.close(self._over)
            self._over = None

    def let_go(self) -> None:
        """Close its pipes here: whoever else has them goes on."""
        self.stop_reading()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def kill(self) -> None:
        """Kill it if it has not ended."""
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                self._kill_alone()
        self.process.wait()

    def _kill_alone(self) -> None:
        """Kill a fork that leads no group yet: it has not come to its setsid(2)."""
        try:
            os.kill(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # ended meanwhile, and another thread has waited for it

    def end(self) -> None:
        """Kill it if it has not ended, and collect it."""
        self.kill()
        self._reader.join(END_SECONDS)
        self.let_go()

    def last_words(self, seconds: float = 1.0) -> List[str]:
        """Return the last lines of its standard error, once that has ended or after a time."""
        self._reader.join(seconds)
        lines = self._stderr.decode("utf-8", "replace").splitlines()
        return [line for line in lines if line.strip()][-20:]

    def lost(self, when: str) -> TmError:
        """Say why it ended before its work was done, and when that was."""
        try:
            code = self.process.wait(END_SECONDS)  # type: Optional[int]
        except subprocess.TimeoutExpired:
            code = None
        detail = self.last_words(END_SECONDS if code is not None else 0)
        return TmError(self._cause(code, " ".join(detail), when), detail)

    def _cause(self, code: Optional[int], errors: str, when: str) -> str:
        name = self.host.name
        if code == 127 or "command not found" in errors:
            return "%s is not on %s; install it or set ansible_python_interpreter" % (
                self.host.python,
                name,
            )
        if "password is required" in errors:
            return (
                "become on %s needs a password, which cannot be given while images are moved; "
                "allow it without one (sudo: NOPASSWD)" % name
            )
        if code in (None, 255):
            return "the connection to %s was lost %s" % (name, when)
        return "the program on %s ended with code %d %s" % (name, code, when)
