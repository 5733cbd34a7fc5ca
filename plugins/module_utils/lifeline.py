"""End with the connection: nobody is left to hear of the result, so nothing is left behind.

A far process survives the end of its ssh connection when Ansible pipelines. It notices by its
standard output: poll(2) reports POLLERR once nobody can read what is written there.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
from typing import Any, Callable, Dict, Iterator

from ansible_collections.one.tm.plugins.module_utils import removal
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

POLL_MILLISECONDS = 500
SIGNALS = (signal.SIGTERM, signal.SIGHUP)
GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL

_temporary = set()  # type: Set[str]
_spared = set()  # type: Set[str]
# Held by what makes temporary files in another thread, or starts a program, and for good by the end
# of this process: nothing new appears behind it.
making = threading.RLock()
_children = set()  # type: Set[int]


class _Begun:
    """What is under way.

    Attributes:
        start: a program is being started, of which nobody knows the number yet.
        end: this process was told to end.
    """

    start = False
    end = False


def start() -> None:
    """Watch standard output from a thread of its own, and tidy up on SIGTERM and SIGHUP too.

    To be called from the main thread.
    """
    _listen()
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


@contextlib.contextmanager
def tidy_end() -> Iterator[None]:
    """Tidy up on SIGTERM and SIGHUP within the block, in a process that is not ours alone.

    To be called from the main thread.
    """
    before = _listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def temporary(path: str) -> Iterator[str]:
    """Have a file or tree removed when this process is told to end, or leaves the block.

    Args:
        path: whatever stands there at the end of the block is removed; nothing is fine.
    """
    _temporary.add(path)
    try:
        yield path
    finally:
        if path not in _spared:
            discard(path)
        _temporary.discard(path)
        _spared.discard(path)


def spare(*paths: str) -> None:
    """Leave temporary files if the connection is lost: the next run goes on with them."""
    _spared.update(paths)


def spare_no_more(*paths: str) -> None:
    """Have temporary files removed again, however this process ends."""
    _spared.difference_update(paths)


@contextlib.contextmanager
def child(start_it: "Callable[[], subprocess.Popen[bytes]]") -> "Iterator[subprocess.Popen[bytes]]":
    """Have a process group killed when this process is told to end.

    Args:
        start_it: starts the leader of a process group of its own.
    """
    process = _start(start_it)
    try:
        yield process
    finally:
        _children.discard(process.pid)


def _start(start_it: "Callable[[], subprocess.Popen[bytes]]") -> "subprocess.Popen[bytes]":
    with making:
        _Begun.start = True
        try:
            process = start_it()
            _children.add(process.pid)
        finally:
            _Begun.start = False
    if _Begun.end:
        _end()
    return process


def discard(path: str) -> None:
    """Remove a temporary file or tree of ours, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        removal.remove_own(path)


def give_up(is_lost: bool = False) -> None:
    """Kill the children and remove the temporary files of this process.

    Args:
        is_lost: the connection is lost, nobody decided to end this: what is spared stays.
    """
    making.acquire()
    for pid in list(_children):
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    for path in _temporary - (_spared if is_lost else set()):
        with contextlib.suppress(OSError, TmError):
            discard(path)


def _listen() -> Dict[int, Any]:
    """Tidy up on the signals that end a process; return what was done on them before."""
    return {number: signal.signal(number, _hear) for number in SIGNALS}


def _hear(*_event: Any) -> None:
    """Tidy up on a signal; what was interrupted at a start does it when it knows whom to kill."""
    _Begun.end = True
    if not _Begun.start:
        _end()


def _watch() -> None:
    poll = select.poll()
    poll.register(1, 0)
    while not any(event & GONE for _fd, event in poll.poll(POLL_MILLISECONDS)):
        pass
    _end(is_lost=True)


def _end(is_lost: bool = False) -> None:
    give_up(is_lost)
    os._exit(1)
