"""New files appear whole or not at all: a temporary name, the right mode, a flush, a rename."""

import contextlib
import errno
import os
import stat
from typing import Iterator, Optional

from ansible_collections.one.tm.plugins.module_utils import lifeline, making
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, set_attributes
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.temporary import (
    OLD,
    PROVEN,
    lock,
    open_for_lock,
    temporary_name,
)

_held = {}  # type: Dict[str, int]


@contextlib.contextmanager
def new_file(final: str) -> Iterator[int]:
    """Give the descriptor of a temporary file beside a destination; it is gone after the block.

    What an earlier attempt left there is removed, unless that attempt is still under way. The
    descriptor's path is ``temporary_name(final)``; ``publish`` gives it its final name.

    Args:
        final: the destination's path; its directory exists.

    Raises:
        TmError: somebody else makes the same file now.
        OSError: it cannot be made.
    """
    descriptor = new_part(final)
    with held(descriptor, temporary_name(final)):
        yield descriptor


def new_part(final: str) -> int:
    """Make the empty file under which a destination arrives, for this process alone; open it.

    Args:
        final: the destination's path; its directory exists.

    Raises:
        TmError: somebody else makes the same destination now.
        OSError: it cannot be made.
    """
    descriptor = making.made(temporary_name(final), final, making.make_file)
    # A note of the part before this one: even its inode may be the same.
    lifeline.discard(temporary_name(final, PROVEN))
    return descriptor


@contextlib.contextmanager
def new_directory(final: str) -> Iterator[str]:
    """Give the path of a temporary directory beside a destination; it is gone after the block.

    Args:
        final: the destination's path; its directory exists.

    Raises:
        TmError: somebody else makes the same destination now.
        OSError: it cannot be made.
    """
    path = temporary_name(final)
    with held(making.made(path, final, making.make_directory), path):
        yield path


@contextlib.contextmanager
def held(descriptor: int, path: str) -> Iterator[None]:
    """Have a temporary file closed and gone after the block, unless lifeline spares it."""
    _held[path] = descriptor
    try:
        with lifeline.temporary(path):
            yield
    finally:
        _held.pop(path, None)
        os.close(descriptor)


def present(destination: str) -> Optional[os.stat_result]:
    """Return the state of the image that a destination is already; None if there is none.

    Raises:
        TmError: a directory is in the way.
    """
    try:
        there = os.lstat(destination)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(there.st_mode):
        raise TmError("the destination %s is a directory, not an image" % destination)
    return there if stat.S_ISREG(there.st_mode) else None


def publish(temporary: str, final: str, attributes: Attributes) -> None:
    """Give a finished file or tree its mode and owner, flush it, and give it its final name.

    Args:
        temporary: the finished file or tree, on the same file system.
        final: its name from now on; a file that has it is replaced, a directory too.
        attributes: mode and owner; a symbolic mode changes ``0666`` less the umask.

    Raises:
        TmError: ``temporary`` is no file or directory of ours.
        OSError: any of it failed; ``final`` is as it was.
    """
    descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with about(temporary):
            set_attributes(descriptor, attributes)
            os.fsync(descriptor)
        state = os.fstat(descriptor)
        # On a file system without locks another run may have made its own under the same name.
        ours = os.fstat(_held[temporary]) if temporary in _held else state
        is_ours = os.path.samestat(state, ours) and os.path.samestat(state, os.lstat(temporary))
        if not is_ours:
            raise TmError("%s was replaced while it was made; try again" % temporary)
        rename(temporary, final)
    finally:
        os.close(descriptor)


def rename(source: str, final: str) -> None:
    """Rename durably; a directory in the way of a directory is removed.

    Raises:
        OSError: as rename(2) does; ``final`` is then as it was.
    """
    try:
        os.rename(source, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _replace_directory(source, final)
    for directory in sorted({os.path.dirname(source), os.path.dirname(final)}):
        flush_directory(directory)


def _replace_directory(source: str, final: str) -> None:
    old = replaced_name(final)
    making.clear(old, final)
    descriptor = open_for_lock(final)
    try:
        # No sweep is to remove it while it may have to come back.
        lock(descriptor)
        os.rename(final, old)
        try:
            os.rename(source, final)
        except OSError:
            os.rename(old, final)
            raise
        lifeline.discard(old)
    finally:
        os.close(descriptor)


def replaced_name(final: str) -> str:
    """Return the name of ours that a replaced directory has until it is removed."""
    return temporary_name(final, OLD)


def flush_directory(directory: str) -> None:
    """Have the names in a directory on the disk; file systems without this are fine."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            error.filename = directory
            raise
    finally:
        os.close(descriptor)
