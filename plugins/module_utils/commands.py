"""Run a command line by line, in a session of its own, so that nothing of it outlives us."""

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from typing import Callable, Dict, List, Optional

from ansible_collections.one.tm.plugins.module_utils import lifeline

__metaclass__ = type

LINE_BYTES = 16384
POLL_SECONDS = 0.1
OPENING = "ERROR MESSAGE --8<------"
CLOSING = "ERROR MESSAGE ------>8--"


def printable(text: str) -> str:
    """Return the text on one line, with a blank for each control character."""
    return "".join(char if char.isprintable() else " " for char in text).rstrip()


class ErrorText:
    """What a command wrote to its standard error, within bounds.

    A message between the guide's separators (Storage Guide 1.2, «Structure: The Action Scripts»)
    is the reason of a failure; without one the last line is.
    """

    def __init__(self, keep: int = 100) -> None:
        """Keep so many lines of the message, and as many of the rest."""
        self._keep = keep
        self._inside = False
        self._block = []  # type: List[str]
        self.rest = []  # type: List[str]

    def add(self, line: str) -> None:
        """Take one line, without its newline."""
        if line.strip() in (OPENING, CLOSING):
            self._inside = line.strip() == OPENING
        elif self._inside:
            self._block = [*self._block, line][: self._keep]
        elif line:
            self.rest = [*self.rest, line][-self._keep :]

    def reason(self, otherwise: str) -> str:
        """Return the reason of a failure as one line."""
        block = [line.strip() for line in self._block if line.strip()]
        if block:
            return "; ".join(block)[:2000]
        return self.rest[-1] if self.rest else otherwise


class Lines:
    """Cuts a stream of bytes into lines; what exceeds the length of a line is dropped."""

    def __init__(self, receive: Callable[[str], None]) -> None:
        """Call ``receive`` with each line."""
        self._receive = receive
        self._pending = b""

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            for line in (self._pending + whole).split(b"\n"):
                self._pass_on(line)
            self._pending = b""
        self._pending = (self._pending + rest)[: LINE_BYTES + 1]

    def close(self) -> None:
        """Pass on a last line that has no newline."""
        if self._pending:
            self._pass_on(self._pending)
            self._pending = b""

    def _pass_on(self, line: bytes) -> None:
        text = printable(line[:LINE_BYTES].decode("utf-8", "replace"))
        self._receive(text + (" [cut]" if len(line) > LINE_BYTES else ""))


class Ending:
    """How a command ended.

    Attributes:
        status: its exit code; negative for the signal that ended it; None if it took too long.
    """

    def __init__(self, status: Optional[int]) -> None:
        """Note the exit code."""
        self.status = status

    def describe(self, name: str, seconds: float) -> str:
        """Return how the command called ``name`` with that time limit ended, as a sentence."""
        if self.status is None:
            return "%s did not end within %g s" % (name, seconds)
        if self.status == 0:
            return "ran %s" % name
        if self.status < 0:
            return "%s was ended by signal %d" % (name, -self.status)
        return "%s ended with status %d" % (name, self.status)


class Command:
    """What to run.

    Attributes:
        argv: the program and its arguments; a file without ``#!`` is run by sh.
        seconds: time limit; 0 for none.
        directory: where it runs; None for here.
        environment: all its variables; None for ours.
    """

    def __init__(
        self,
        argv: List[str],
        seconds: float = 0,
        directory: Optional[str] = None,
        environment: Optional[Dict[str, str]] = None,
    ) -> None:
        """Note what to run."""
        self.argv = argv
        self.seconds = seconds
        self.directory = directory
        self.environment = environment


def run_lines(
    command: Command, on_output: Callable[[str], None], on_error: Callable[[str], None]
) -> Ending:
    """Run a command and pass on its lines as they come.

    The command leads a session. When it has ended, its time is over, or this process dies, however
    suddenly, every process of that session is killed.

    Args:
        command: what to run.
        on_output: called with each line of its standard output.
        on_error: called with each line of its standard error.

    Returns:
        How it ended.

    Raises:
        OSError: it could not be started.
    """
    with lifeline.child(lambda: _start(command)) as child:
        try:
            with _Guard(child.pid):
                try:
                    in_time = _pump(child, on_output, on_error, command.seconds)
                finally:
                    end_session(child.pid)
        finally:
            status = child.wait()
            child.stdout.close()  # type: ignore[union-attr]
            child.stderr.close()  # type: ignore[union-attr]
    return Ending(status if in_time else None)


def _start(command: Command) -> "subprocess.Popen[bytes]":
    try:
        return _start_words(command.argv, command)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return _start_words(["/bin/sh", *command.argv], command)


def _start_words(words: List[str], command: Command) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=command.directory,
        env=command.environment,
        start_new_session=True,
    )


def _pump(
    child: "subprocess.Popen[bytes]",
    on_output: Callable[[str], None],
    on_error: Callable[[str], None],
    seconds: float,
) -> bool:
    """Pass on lines until the command ends; return whether it did so in time."""
    deadline = time.monotonic() + seconds if seconds else None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ, Lines(on_output))  # type: ignore
        selector.register(child.stderr, selectors.EVENT_READ, Lines(on_error))  # type: ignore
        while selector.get_map():
            # A process left in the background may hold the pipes open: the command's end counts.
            ended = _ended(child)
            if not _read(selector) and ended:
                break
            if deadline is not None and not ended and time.monotonic() > deadline:
                return False
        for key in list(selector.get_map().values()):
            key.data.close()
    while not _ended(child):
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS / 10)
    return True


def _ended(child: "subprocess.Popen[bytes]") -> bool:
    """Tell whether the command has ended; leave it unreaped, so that its number stays its own."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _read(selector: selectors.BaseSelector) -> bool:
    """Pass on what there is to read; return whether there was anything."""
    ready = selector.select(POLL_SECONDS)
    for key, _events in ready:
        data = os.read(key.fd, 65536)
        if data:
            key.data.feed(data)
        else:
            key.data.close()
            selector.unregister(key.fileobj)
    return bool(ready)


class _Guard:
    """A process that ends a session when we are gone without having said so."""

    def __init__(self, session: int) -> None:
        self._session = session

    def __enter__(self) -> None:
        try:
            self._start()
        except OSError:
            os.killpg(self._session, signal.SIGKILL)  # takes no descriptor
            end_session(self._session)
            raise

    def _start(self) -> None:
        reading, self._writing = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(self._writing)
            raise
        if self._pid == 0:
            self._watch(reading)
        os.close(reading)

    def __exit__(self, *_exception: object) -> None:
        os.write(self._writing, b"done")
        os.close(self._writing)
        os.waitpid(self._pid, 0)

    def _watch(self, reading: int) -> None:
        try:
            os.setsid()
            os.close(self._writing)
            signal.signal(signal.SIGTERM, self._end)
            _close_all_but(reading)
            if not os.read(reading, 1):
                end_session(self._session)
        finally:
            os._exit(0)

    def _end(self, _number: int, _frame: object) -> None:
        end_session(self._session)
        os._exit(0)


def _close_all_but(keep: int) -> None:
    """Let go of inherited descriptors, so that no reader waits for us."""
    for number in [int(name) for name in os.listdir("/proc/self/fd")]:
        if number != keep:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(number)


def end_session(session: int) -> None:
    """Kill every process of a session, and those that they start meanwhile."""
    for _attempt in range(50):
        members = [pid for pid in _processes() if _session_of(pid) == session]
        if not members:
            return
        for pid in members:
            with contextlib.suppress(OSError):  # ended by itself
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _processes() -> List[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session_of(pid: int) -> Optional[int]:
    """Return the session of a living process (proc(5), /proc/pid/stat, field 6)."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[3])
