"""Whether there is room for what is to be written."""

import contextlib
import errno
import os
from typing import Iterator

from ansible_collections.one.tm.plugins.module_utils.errors import TmError, sentence
from ansible_collections.one.tm.plugins.module_utils.sizes import human

FULL = (errno.ENOSPC, errno.EDQUOT)


def need_room(directory: str, needed: int) -> None:
    """Refuse to begin what cannot fit.

    Args:
        directory: where it is to go; it or a directory above it exists.
        needed: bytes that will be written.

    Raises:
        TmError: there is less room; the message has both numbers.
    """
    if needed > room(directory):
        raise TmError(_no_room("no space in", directory, needed))


@contextlib.contextmanager
def filling(directory: str, needed: int) -> Iterator[None]:
    """Tell in the same words of room that ends while something is written, here or by a program.

    Args:
        directory: where it goes.
        needed: bytes of it in all.

    Raises:
        TmError: the file system, or a quota, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        text = _no_room("no space left in", directory, needed)
        raise TmError(text, [sentence(error)]) from error
    except TmError as error:
        if not any(os.strerror(code) in error.message for code in FULL):
            raise
        text = _no_room("no space left in", directory, needed)
        raise TmError(text, error.detail) from error


def _no_room(what: str, directory: str, needed: int) -> str:
    free = room(directory)
    numbers = (human(needed), needed, human(free), free)
    return "%s %s: %s (%d bytes) needed, %s (%d bytes) free" % (what, directory, *numbers)


def room(directory: str) -> int:
    """Return the bytes that this user may still write below a directory, which may not exist."""
    state = _state(directory)
    return state.f_bavail * state.f_frsize


def capacity(directory: str) -> int:
    """Return the size in bytes of a directory's file system; the directory may not exist yet."""
    state = _state(directory)
    return state.f_blocks * state.f_frsize


def _state(directory: str) -> os.statvfs_result:
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return os.statvfs(directory)
