"""A program of ``module_utils`` in a fork of this process: no Python to start, nothing to load."""

import fcntl
import importlib
import io
import os
import select
import signal
import subprocess
import sys
import threading
from typing import Any, Optional, Sequence

from ansible_collections.one.tm.plugins.plugin_utils.farside import PACKAGE

__metaclass__ = type

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD)


class Fork:
    """A fork that calls ``main`` of a module, as ``subprocess.Popen`` would show it.

    Attributes:
        pid: its number; it leads a session.
        stdin: leads to it.
        stdout: nothing; it writes where it was told to.
        stderr: comes from it.
        returncode: exit status, once it was waited for; negative for the signal that ended it.
    """

    stdout = None

    def __init__(self, stdout: int, module: str, arguments: Sequence[Any]) -> None:
        """Start it.

        Args:
            stdout: descriptor that it writes to.
            module: of ``module_utils``.
            arguments: of its ``main``.
        """
        call = importlib.import_module(PACKAGE + "." + module).main
        theirs_in, ours_in = os.pipe()
        ours_err, theirs_err = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _enter(theirs_in, stdout, theirs_err)
            _work(call, arguments)
        os.close(theirs_in)
        os.close(theirs_err)
        self.stdin = os.fdopen(ours_in, "wb", 0)
        self.stderr = os.fdopen(ours_err, "rb", 0)
        self.returncode: Optional[int] = None
        self._lock = threading.Lock()

    def poll(self) -> Optional[int]:
        """Return the exit status; None while it runs."""
        with self._lock:
            if self.returncode is None and self._has_ended(0):
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self.returncode

    def wait(self, timeout: Optional[float] = None) -> int:
        """Return the exit status, once it has ended.

        Args:
            timeout: longest time in seconds; None for no limit.

        Raises:
            TimeoutExpired: it has not ended by then.
        """
        if self.returncode is None and not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(PACKAGE, timeout or 0)
        return self.poll() or 0

    def _has_ended(self, timeout: Optional[float]) -> bool:
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True  # another thread has waited for it
        try:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            return bool(waiting.poll(None if timeout is None else timeout * 1000))
        finally:
            os.close(descriptor)


def _enter(stdin: int, stdout: int, stderr: int) -> None:
    """Have three descriptors and no other, a session, and no signal handled as Ansible does."""
    os.setsid()
    # Others see this process with the environment of who started it, and tell both to end at once;
    # it has to be told last, see ``side.LAST``. Who started it ends it, or its input does.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    # Out of each other's way first: any of them may be one of the three.
    copies = [fcntl.fcntl(each, fcntl.F_DUPFD, 3) for each in (stdin, stdout, stderr)]
    for number, copy in enumerate(copies):
        os.dup2(copy, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb"))
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w")


def _work(call: Any, arguments: Sequence[Any]) -> None:
    status = 1
    try:
        call(*arguments)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(status)
