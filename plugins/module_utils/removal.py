"""Remove a file, a link or a tree, and nothing that a changing path could lead to instead.

Each step down is taken from an open directory and follows no link, so that a directory replaced by
a link meanwhile is an error, not a way out.
"""

import contextlib
import errno
import os
import stat
from typing import Iterator, NamedTuple

from ansible_collections.one.tm.plugins.module_utils import temporary
from ansible_collections.one.tm.plugins.module_utils.descent import DIRECTORY, STEP, walk
from ansible_collections.one.tm.plugins.module_utils.errors import about
from ansible_collections.one.tm.plugins.module_utils.mounts import refuse_mounts


class Tally(NamedTuple):
    """What a tree holds.

    Attributes:
        files: number of entries that are no directories.
        size: their disk usage in bytes.
        length: bytes of the regular files, holes included.
    """

    files: int
    size: int
    length: int


def survey(real: str) -> Tally:
    """Return what a file or tree holds, refusing one that must not be removed.

    Args:
        real: its path, without links but perhaps the last part.

    Raises:
        TmError: a file system is mounted on or below it.
        FileNotFoundError: it is not there.
    """
    with open_parent(real) as parent:
        state = os.stat(os.path.basename(real), dir_fd=parent, follow_symlinks=False)
        refuse_mounts(real)
        with about(real):
            return _count(parent, os.path.basename(real), state.st_dev)


def remove(real: str) -> None:
    """Remove a file or tree, after giving it a name of ours, so that it is gone at once.

    A tree that was being removed when its process died is never taken for a whole one.

    Args:
        real: its path, without links but perhaps the last part.

    Raises:
        OSError: it could not be removed.
    """
    name = os.path.basename(real)
    doomed = os.path.basename(doomed_name(real))
    with open_parent(real) as parent, about(real):
        device = os.stat(name, dir_fd=parent, follow_symlinks=False).st_dev
        _remove_if_there(parent, doomed, device)
        os.rename(name, doomed, src_dir_fd=parent, dst_dir_fd=parent)
        _remove_if_there(parent, doomed, device)
        flush(parent)


def remove_doomed(real: str) -> None:
    """Remove what an interrupted removal of the same path left under its name of ours."""
    remove_left(doomed_name(real))


def remove_left(path: str) -> None:
    """Remove a file or tree of a name of ours, if it is there.

    Args:
        path: its path, without links but perhaps the last part.

    Raises:
        TmError: another file system is mounted in it.
        OSError: it could not be removed.
    """
    with open_parent(path) as parent, about(path), contextlib.suppress(FileNotFoundError):
        _remove_any(parent, os.path.basename(path))


def remove_own(path: str) -> None:
    """Remove a file or tree that this process made, or gave its name.

    Args:
        path: its path; links in its directories are followed.

    Raises:
        TmError: another file system is mounted in it.
        FileNotFoundError: it is not there.
        OSError: it could not be removed.
    """
    parent = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with about(path):
            _remove_any(parent, os.path.basename(path))
    finally:
        os.close(parent)


def doomed_name(real: str) -> str:
    """Return the name under which a path is removed."""
    return temporary.temporary_name(real, temporary.GONE)


@contextlib.contextmanager
def open_parent(real: str) -> Iterator[int]:
    """Give the descriptor of a path's directory, having followed no link on the way there."""
    descriptor = os.open("/", STEP)
    try:
        for part in os.path.dirname(real).split("/"):
            if part:
                deeper = os.open(part, STEP, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


def flush(directory: int) -> None:
    """Have the names in an open directory on the disk; file systems without this are fine."""
    descriptor = os.open(".", DIRECTORY, dir_fd=directory)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _count(parent: int, name: str, device: int) -> Tally:
    files = size = length = 0
    for found in walk(parent, name, device):
        if found.state:
            files, size = files + 1, size + found.state.st_blocks * 512
            length += found.state.st_size if stat.S_ISREG(found.state.st_mode) else 0
    return Tally(files, size, length)


def _remove_any(parent: int, name: str) -> None:
    device = os.stat(name, dir_fd=parent, follow_symlinks=False).st_dev
    _remove(parent, name, device)


def _remove_if_there(parent: int, name: str, device: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        _remove(parent, name, device)


def _remove(parent: int, name: str, device: int) -> None:
    for found in walk(parent, name, device):
        # A sweep may be at the same.
        with contextlib.suppress(FileNotFoundError):
            if found.state:
                os.unlink(found.name, dir_fd=found.directory)
            else:
                os.rmdir(found.name, dir_fd=found.directory)
