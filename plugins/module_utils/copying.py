"""Copy one file on one host: no data where the file system can share it, holes stay holes."""

import contextlib
import errno
import fcntl
import os
import stat
from typing import Callable, Iterator, NamedTuple, Optional

from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes
from ansible_collections.one.tm.plugins.module_utils.directories import workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.files import (
    new_file,
    present,
    publish,
    temporary_name,
)
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from ansible_collections.one.tm.plugins.module_utils.policy import Policy
from ansible_collections.one.tm.plugins.module_utils.room import filling, need_room
from ansible_collections.one.tm.plugins.module_utils.sources import judged, readable
from ansible_collections.one.tm.plugins.module_utils.sparse import (
    extents,
    read_blocks,
    write_sparse,
)

FICLONE = 0x40049409  # ioctl_ficlone(2)
NOT_HERE = (
    errno.EINVAL,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.ENOTTY,
    errno.EXDEV,
    errno.EBADF,
    errno.EPERM,
    errno.ETXTBSY,
    errno.EISDIR,
)


class Source(NamedTuple):
    """An open source.

    Attributes:
        path: its path, for messages.
        descriptor: open for reading.
        size: its length in bytes; of a block device too.
        state: what fstat said when it was opened.
        real: its path without links by which it was allowed; nothing if it was not judged.
    """

    path: str
    descriptor: int
    size: int
    state: os.stat_result
    real: str = ""

    @property
    def is_file(self) -> bool:
        """Tell a file from a block device."""
        return stat.S_ISREG(self.state.st_mode)

    @property
    def data_bytes(self) -> int:
        """Bytes that are not holes, as far as the file system tells."""
        return min(self.size, self.state.st_blocks * 512) if self.is_file else self.size

    def check_unchanged(self) -> None:
        """Refuse a source that somebody wrote to meanwhile.

        Raises:
            TmError: it changed.
        """
        if not self.is_file:
            return
        now, then = os.fstat(self.descriptor), self.state
        is_same = (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)
        if not (is_same and self._is_in_its_place(now)):
            raise TmError("%s changed while it was copied; stop its writer" % self.path)

    def _is_in_its_place(self, state: os.stat_result) -> bool:
        """Tell whether the path still leads to what is open."""
        try:
            return os.path.samestat(os.stat(self.path), state)
        except FileNotFoundError:
            return False


# Copies the data of a source into an empty file, see ``copy_contents``.
Contents = Callable[[Source, int, str, Meter], None]


def open_allowed(path: str, policy: Policy) -> Source:
    """Open an image for copying, if the site allows to read it.

    Args:
        path: where it is.
        policy: what the site allows.

    Raises:
        TmError: it may not be read, or as ``open_source``.
    """
    with _opening(path), judged(path, policy) as (anchor, real):
        return open_source(path, at=anchor)._replace(real=real)


def open_source(path: str, follow: bool = True, at: str = "") -> Source:
    """Open a file or block device for copying.

    Args:
        path: where it is.
        follow: whether a symbolic link stands for its target.
        at: the path by which it is opened, if not that.

    Raises:
        TmError: it is missing, unreadable, or nothing that has contents.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    with _opening(path), readable(path, at):
        descriptor = os.open(at or path, flags)
    state = os.fstat(descriptor)
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISBLK(state.st_mode)):
        os.close(descriptor)
        kind = "a directory" if stat.S_ISDIR(state.st_mode) else "neither a file nor a block device"
        raise TmError("the source %s is %s, an image is needed" % (path, kind))
    size = os.lseek(descriptor, 0, os.SEEK_END)
    return Source(path, descriptor, size, state)


@contextlib.contextmanager
def _opening(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise TmError("the source %s does not exist" % path) from None


def is_alone(state: os.stat_result) -> bool:
    """Tell whether a file has one name only: of a hard link, the other may be another VM's disk."""
    return stat.S_ISDIR(state.st_mode) or state.st_nlink < 2


def is_complete(source: Source, destination: str) -> bool:
    """Tell whether a destination has the source's size and modification time already."""
    there = present(destination)
    return (
        source.is_file
        and there is not None
        and is_alone(there)
        and there.st_size == source.size
        and there.st_mtime_ns == source.state.st_mtime_ns
    )


def copy(
    source: Source,
    destination: str,
    attributes: Attributes,
    meter: Optional[Meter] = None,
    contents: Optional[Contents] = None,
) -> bool:
    """Copy a source to its destination, whole or not at all.

    Args:
        source: what to copy.
        destination: path, with no link in its directories; they are made.
        attributes: mode and owner of the new file.
        meter: measures it.
        contents: takes the place of ``copy_contents``.

    Returns:
        Whether data were moved; not so if the file system shares them (reflink).

    Raises:
        TmError: there is no room, or the source changed.
        OSError: reading or writing failed.
    """
    directory = os.path.dirname(destination)
    meter = meter or Meter(os.path.basename(source.path), source.size)
    full = filling(directory, source.data_bytes)
    below = workplace(destination, attributes)
    with full, below as place, about(destination), new_file(place) as descriptor:
        is_shared = share(source, descriptor)
        if not is_shared:
            need_room(directory, source.data_bytes)
            (contents or copy_contents)(source, descriptor, destination, meter)
        finish(source, descriptor, destination)
        with meter.beating():
            publish(temporary_name(place), place, attributes)
    return not is_shared


def finish(source: Source, descriptor: int, destination: str) -> None:
    """Check a copy's length and give it the source's modification time.

    Raises:
        TmError: the source changed meanwhile, or the copy is not as long as the source.
    """
    source.check_unchanged()
    written = os.fstat(descriptor).st_size
    if written != source.size:
        raise TmError("%s has %d bytes instead of %d" % (destination, written, source.size))
    if source.is_file:
        os.utime(descriptor, ns=(source.state.st_atime_ns, source.state.st_mtime_ns))


def share(source: Source, descriptor: int) -> bool:
    """Share the source's blocks with a new file (reflink); return whether that is possible."""
    if not source.is_file:
        return False
    try:
        fcntl.ioctl(descriptor, FICLONE, source.descriptor)
    except OSError as error:
        if error.errno in NOT_HERE:
            return False
        raise
    return True


def copy_contents(
    source: Source, descriptor: int, destination: str, meter: Optional[Meter] = None
) -> None:
    """Copy the data of a source; holes and blocks of zeros become holes.

    Args:
        source: what to copy.
        descriptor: an empty file, open for writing.
        destination: its name in messages.
        meter: measures it.
    """
    meter = meter or Meter(os.path.basename(source.path), source.size)
    target = _Target(descriptor, destination)
    on_server = _same_server(source, descriptor)
    with about(destination):
        os.ftruncate(descriptor, source.size)
    for begin, end in extents(source.descriptor, source.size):
        done = _copy_on_server(source, target, begin, end, meter) if on_server else begin
        _copy_blocks(source, target, done, end, meter)
    meter.end_file(source.size)


class _Target(NamedTuple):
    """An empty file, open for writing, and its name in messages."""

    descriptor: int
    path: str


def _same_server(source: Source, descriptor: int) -> bool:
    """Tell whether both files are on one network file system, whose server may copy by itself.

    A file system without a block device (NFS, CIFS, Ceph) has a device number with major 0.
    """
    device = os.fstat(descriptor).st_dev
    return (
        hasattr(os, "copy_file_range")
        and source.is_file
        and device == source.state.st_dev
        and os.major(device) == 0
    )


def _copy_on_server(source: Source, target: _Target, begin: int, end: int, meter: Meter) -> int:
    """Copy by ``copy_file_range(2)``; return where it ended, perhaps before the end."""
    while begin < end:
        size = min(end - begin, meter.step)
        try:
            done = os.copy_file_range(source.descriptor, target.descriptor, size, begin, begin)
        except OSError as error:
            if error.errno in NOT_HERE:
                return begin
            raise
        if done == 0:
            return begin
        begin += done
        meter.move(done)
        meter.reach(begin)
    return begin


def _copy_blocks(source: Source, target: _Target, begin: int, end: int, meter: Meter) -> None:
    blocks = read_blocks(source.path, source.descriptor, begin, end)
    while True:
        with about(source.path):
            offset, data = next(blocks, (end, b""))
        if not data:
            return
        meter.move(len(data))
        with about(target.path):
            write_sparse(target.descriptor, data, offset)
        meter.reach(offset + len(data))
