"""The process's own descriptors and signals, made right after an odd start.

oned closes descriptor 2 before it starts a driver and leaves every signal blocked. Only the
standard library is used here, and nothing is imported that opens a file for good.
"""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_CHUNK = 65536

# Signals that stay as they are: they cannot be handled, tell of a crash, or do no harm.
_LEFT_ALONE = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}


@dataclass(frozen=True, slots=True)
class Channel:
    """The pipes to oned. Descriptors 0 and 1 no longer lead there.

    Attributes:
        requests: descriptor to read oned's lines from.
        answers: descriptor to write messages to.
    """

    requests: int
    answers: int


class Ending:
    """A request to end that signal handlers and threads can make, and the reader waits for.

    Attributes:
        signalled: descriptor that becomes readable when any signal has come.
        signalling: where that is written by who gets a signal.
    """

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.signalled, self.signalling = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._event

    def ask(self) -> None:
        """Ask for the end; may be called by a signal handler, and more than once."""
        os.eventfd_write(self._event, 1)


def claim_channel() -> Channel:
    """Make descriptors 0, 1 and 2 valid and keep the protocol's pipes to ourselves.

    Afterwards nothing that prints, in this process or a child, can reach oned: descriptor 1 and
    ``sys.stdout`` lead where descriptor 2 leads.

    Returns:
        Private descriptors that no child inherits.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    channel = Channel(_private(0), _private(1))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - pathlib is not needed for anything else
        os.dup2(nothing.fileno(), 0)
    lead_output_to(2)
    sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    return channel


def lead_output_to(descriptor: int) -> None:
    """Let descriptors 1 and 2, and so all that prints, lead to another file."""
    os.dup2(descriptor, 1)
    if descriptor != 2:
        os.dup2(descriptor, 2)


def settle_signals(ending: Ending) -> None:
    """Unblock all signals; let SIGTERM ask for the end and no other signal do any harm.

    Handlers are used instead of SIG_IGN, because children inherit an ignored signal.

    Args:
        ending: what SIGTERM asks.
    """
    for number in signal.valid_signals() - _LEFT_ALONE:
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: ending.ask())
    # A handler runs when Python comes to it, which it does not while it waits: one that comes just
    # before that wait has to end it.
    signal.set_wakeup_fd(ending.signalling, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def read_chunks(descriptor: int, ending: Ending) -> Iterator[bytes]:
    """Read until the end of the stream or until the end is asked for.

    Args:
        descriptor: where to read.
        ending: ends the reading, even one under way.

    Yields:
        What was read, as it comes.
    """
    poll = select.poll()
    for number in (ending.fileno(), ending.signalled, descriptor):
        poll.register(number, select.POLLIN)
    while True:
        ready = {number for number, _ in poll.poll()}
        if ending.fileno() in ready:
            return
        if ending.signalled in ready:
            os.read(ending.signalled, _CHUNK)
        if descriptor not in ready:
            continue
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError:
            return
        if not chunk:
            return
        yield chunk


def _private(descriptor: int) -> int:
    private = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.set_blocking(private, True)
    return private
