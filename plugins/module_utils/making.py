"""Temporary files and directories under names of ours, each for the one process that makes it."""

import contextlib
import os
import stat
from typing import Callable

from ansible_collections.one.tm.plugins.module_utils import lifeline
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.temporary import is_at, lock, open_for_lock

__metaclass__ = type

TRIES = 3


def made(path: str, final: str, make: Callable[[str], int]) -> int:
    """Make a temporary file or directory for this process alone; return its descriptor.

    A sweep may take for a leftover what is made and not yet locked; then it is made again.

    Args:
        path: its name of ours; what an earlier attempt left there is removed.
        final: the destination, for the message.
        make: makes and opens it.

    Raises:
        TmError: somebody else makes the same destination now.
        OSError: it cannot be made.
    """
    for _ in range(TRIES):
        clear(path, final)
        try:
            descriptor = make(path)
        except FileExistsError:
            continue  # somebody else was quicker
        if lock(descriptor) is not False and is_at(path, descriptor):
            return descriptor
        os.close(descriptor)
    raise _being_made(final)


def make_file(path: str) -> int:
    """Make and open an empty file that only this user can read."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def make_directory(path: str) -> int:
    """Make and open an empty directory that only this user can enter."""
    os.mkdir(path, 0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def clear(path: str, final: str) -> None:
    """Remove what an earlier attempt left under a name of ours.

    Args:
        path: the temporary name.
        final: the destination, for the message.

    Raises:
        TmError: the attempt is still under way.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        lifeline.discard(path)
        return
    with contextlib.suppress(FileNotFoundError):
        descriptor = open_for_lock(path)
        try:
            if lock(descriptor) is False:
                raise _being_made(final)
            # Somebody else may have replaced it since it was opened.
            if is_at(path, descriptor):
                lifeline.discard(path)
        finally:
            os.close(descriptor)


def _being_made(final: str) -> TmError:
    return TmError("%s is being made by another run; wait for its end" % final)
