"""What ended runs left in a directory under names of ours, and its removal."""

import contextlib
import os
import stat
import time
from typing import Iterator

from ansible_collections.one.tm.plugins.module_utils import removal, temporary
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

KEPT_SECONDS = 24 * 3600


def sweep(directory: str) -> None:
    """Remove what ended runs left in a directory under names of ours.

    What the next run could go on with, and what nobody can hold, such as a link or all that lies on
    a file system without locks, stays for a day.
    It never fails: what cannot be removed stays.

    Args:
        directory: its path.
    """
    directory = os.path.realpath(directory)
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            match = temporary.NAME.match(name)
            if match:
                with contextlib.suppress(OSError, TmError):
                    _sweep(os.path.join(directory, name), match.group(1))


def _sweep(path: str, kind: str) -> None:
    if kind == temporary.PROVEN:
        is_left = not os.path.lexists(_sibling(path, temporary.PART))
    elif kind == temporary.DOWNLOAD or not _can_be_held(path):
        is_left = not _is_young(path)
    else:
        _sweep_unheld(path, kind)
        return
    if is_left:
        removal.remove_left(path)


def _sweep_unheld(path: str, kind: str) -> None:
    note = _sibling(path, temporary.PROVEN)
    with _unheld(path) as is_left:
        if not is_left or (kind == temporary.PART and _is_young(note)):
            return
        removal.remove_left(path)
        if kind == temporary.PART:
            removal.remove_left(note)


def _can_be_held(path: str) -> bool:
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


@contextlib.contextmanager
def _unheld(path: str) -> Iterator[bool]:
    """Tell whether it is certain that nobody holds a temporary file, and keep it so.

    Where there are no locks, what was not changed for a day is of nobody.
    """
    descriptor = temporary.open_for_lock(path)
    try:
        is_free = temporary.lock(descriptor)
        if is_free is None:
            is_free = not _is_young(path)
        # Only of what still has the name: it may have been replaced since it was opened.
        yield is_free and temporary.is_at(path, descriptor)
    finally:
        os.close(descriptor)


def _is_young(path: str) -> bool:
    try:
        age = time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return False
    return abs(age) < KEPT_SECONDS


def _sibling(path: str, suffix: str) -> str:
    return path.rpartition(".")[0] + "." + suffix
