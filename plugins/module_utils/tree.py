"""Copy and compare whole trees on one host."""

import os
import stat
from typing import Callable, Optional, Tuple

from ansible_collections.one.tm.plugins.module_utils.copying import (
    Source,
    copy_contents,
    finish,
    open_source,
    share,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.files import flush_directory
from ansible_collections.one.tm.plugins.module_utils.listing import check_depth
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from ansible_collections.one.tm.plugins.module_utils.sparse import BLOCK, extents


def copy_tree(source: str, destination: str, meter: Optional[Meter] = None) -> None:
    """Copy a file, a link or a tree; permissions, times and (as root) owners stay.

    Args:
        source: real path; links in it are copied as links.
        destination: path where nothing is yet.
        meter: measures it.

    Raises:
        TmError: something in it can have no copy, lies too deep, or changed meanwhile.
        OSError: reading or writing failed.
    """
    _copy(source, "", destination, meter)


def _copy(top: str, name: str, destination: str, meter: Optional[Meter]) -> None:
    """Copy what lies below the top under a name, which is empty for the top itself."""
    source = os.path.join(top, name) if name else top
    check_depth(top, name)
    state = os.lstat(source)
    if stat.S_ISLNK(state.st_mode):
        os.symlink(os.readlink(source), destination)
        _copy_owner(state, destination)
    elif stat.S_ISDIR(state.st_mode):
        os.mkdir(destination, 0o700)
        for each in names(source):
            _copy(top, os.path.join(name, each), os.path.join(destination, each), meter)
        _finish_directory(destination, state)
    elif stat.S_ISREG(state.st_mode):
        _with_source(source, lambda opened: _copy_file(opened, destination, meter))
    elif not stat.S_ISSOCK(state.st_mode):
        raise TmError("%s is neither file, directory nor link; remove it first" % source)


def prove_tree(source: str, copy: str, meter: Optional[Meter] = None) -> None:
    """Compare a copy with its source: every name, link and byte.

    Args:
        source: path of a file, link or tree.
        copy: path of what ``copy_tree`` made of it.
        meter: measures it.

    Raises:
        TmError: they differ.
    """
    state = os.lstat(source)
    if stat.S_ISLNK(state.st_mode):
        same = os.readlink(source) == os.readlink(copy)
    elif stat.S_ISDIR(state.st_mode):
        same = names(source) == names(copy)
        for name in names(source):
            prove_tree(os.path.join(source, name), os.path.join(copy, name), meter)
    else:
        same = same_contents(source, copy, meter)
    if not same:
        raise TmError("the copy of %s differs from it; it stays where it is" % source)


def names(directory: str) -> Tuple[str, ...]:
    """Return what is in a directory, sorted, without sockets: they mean nothing elsewhere."""
    entries = sorted(os.listdir(directory))
    return tuple(name for name in entries if not _is_socket(os.path.join(directory, name)))


def same_contents(one: str, other: str, meter: Optional[Meter] = None) -> bool:
    """Tell whether two files hold the same bytes; it reads no holes.

    Args:
        one: path of a regular file.
        other: path of the other.
        meter: measures it.

    Raises:
        TmError: either is missing or no regular file.
    """
    return _with_source(
        one, lambda left: _with_source(other, lambda right: _equal(left, right, meter))
    )


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def _with_source(path: str, use: Callable[[Source], bool]) -> bool:
    source = open_source(path, follow=False)
    try:
        return use(source)
    finally:
        os.close(source.descriptor)


def _finish_directory(destination: str, state: os.stat_result) -> None:
    _copy_owner(state, destination)
    os.chmod(destination, stat.S_IMODE(state.st_mode))
    flush_directory(destination)
    os.utime(destination, ns=(state.st_atime_ns, state.st_mtime_ns))


def _copy_file(source: Source, destination: str, meter: Optional[Meter]) -> bool:
    meter = meter or Meter(os.path.basename(source.path), source.size)
    # A directory above it that became a link would have led elsewhere.
    if os.readlink("/proc/self/fd/%d" % source.descriptor) != source.path:
        raise TmError("%s was replaced while it was copied; stop what does it" % source.path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(destination, flags, 0o600)
    try:
        with about(destination):
            if not share(source, descriptor):
                copy_contents(source, descriptor, destination, meter)
            _copy_owner(source.state, destination)
            # The copy may be of another owner, whose programs no others are to make.
            os.fchmod(descriptor, source.state.st_mode & 0o777)
            finish(source, descriptor, destination)
            with meter.beating():
                os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return True


def _copy_owner(state: os.stat_result, destination: str) -> None:
    if os.geteuid() == 0:
        os.chown(destination, state.st_uid, state.st_gid, follow_symlinks=False)


def _equal(one: Source, two: Source, meter: Optional[Meter]) -> bool:
    """Compare two files where either has data."""
    meter = meter or Meter(os.path.basename(one.path), one.size)
    if one.size != two.size:
        return False
    for source in (one, two):
        for begin, end in extents(source.descriptor, source.size):
            if not _same_extent(one, two, begin, end, meter):
                return False
    meter.end_file(one.size)
    return True


def _same_extent(one: Source, two: Source, begin: int, end: int, meter: Meter) -> bool:
    for offset in range(begin, end, BLOCK):
        size = min(BLOCK, end - offset)
        if os.pread(one.descriptor, size, offset) != os.pread(two.descriptor, size, offset):
            return False
        meter.reach(offset + size)
    return True
