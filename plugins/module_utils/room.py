"""Whether there is room for what is to be written."""

import os

from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.sizes import human


def need_room(directory: str, needed: int) -> None:
    """Refuse to begin what cannot fit.

    Args:
        directory: where it is to go; it or a directory above it exists.
        needed: bytes that will be written.

    Raises:
        TmError: there is less room; the message has both numbers.
    """
    free = room(directory)
    if needed > free:
        raise TmError(
            "no space in %s: %s (%d bytes) needed, %s (%d bytes) free"
            % (directory, human(needed), needed, human(free), free)
        )


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
