"""New files appear whole or not at all: a temporary name, the right mode, a flush, a rename."""

import contextlib
import errno
import os
import stat
from typing import Callable, Iterator, List, Optional

from ansible_collections.one.tm.plugins.module_utils import leftovers, lifeline
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, set_attributes
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.temporary import (
    OLD,
    PROVEN,
    is_at,
    lock,
    open_for_lock,
    temporary_name,
)

TRIES = 3


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
    descriptor = made(temporary_name(final), final, make_file)
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
    with held(made(path, final, _make_directory), path):
        yield path


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


def _make_directory(path: str) -> int:
    os.mkdir(path, 0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


@contextlib.contextmanager
def held(descriptor: int, path: str) -> Iterator[None]:
    """Have a temporary file closed and gone after the block, unless lifeline spares it."""
    try:
        with lifeline.temporary(path):
            yield
    finally:
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
        if not os.path.samestat(os.fstat(descriptor), os.lstat(temporary)):
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
    clear(old, final)
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


def make_directory(path: str, attributes: Attributes) -> List[str]:
    """Make a directory and those above it that are missing; sweep what ended runs left in it.

    Those that exist stay as they are. The last one gets the mode of the images in it, as the
    stock scripts did; all get their owner.

    Args:
        path: absolute path.
        attributes: mode and owner.

    Returns:
        the directories made, outermost first.

    Raises:
        OSError: one of them cannot be made.
    """
    leftovers.sweep(path)
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory)
        # Where everybody may write, a link may take its place at once.
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(directory, flags)
        try:
            last = directory == missing[0]
            set_attributes(descriptor, attributes if last else attributes._replace(mode=None))
        finally:
            os.close(descriptor)
        flush_directory(os.path.dirname(directory))
    return missing[::-1]
