"""What is to be moved, as a list: a file, or a directory of files, directories and links."""

import hashlib
import json
import os
import stat
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.listing import check_depth
from ansible_collections.one.tm.plugins.module_utils.tree import names

__metaclass__ = type

FILE = "file"
DIRECTORY = "directory"
LINK = "link"
SETTLED_SECONDS = 2
MOST = 1 << 64


class Entry(NamedTuple):
    """One file, directory or symbolic link.

    Attributes:
        path: relative to the root; empty for the root itself.
        type: ``FILE``, ``DIRECTORY`` or ``LINK``.
        size: of a file, in bytes, holes included.
        mtime_ns: nanoseconds; None for a block device, whose time means nothing.
        mode: permission bits.
        target: of a symbolic link.
        data: bytes that a file takes on disk.
        inode: number in its file system.
        ctime_ns: nanoseconds.
    """

    path: str
    type: str
    size: int
    mtime_ns: Optional[int]
    mode: int
    target: str
    data: int
    inode: int
    ctime_ns: int


class Tree:
    """A list of entries; the first is the root, and a directory comes before its contents."""

    def __init__(self, entries: List[Entry]) -> None:
        """Take entries.

        Raises:
            TmError: a path could lead out of the root, by a link too.
        """
        directories = set()  # type: Set[str]
        for entry in entries:
            parent, _slash, name = entry.path.rpartition("/")
            is_root = entry is entries[0] and not entry.path
            is_inside = parent in directories and not entry.path.startswith("/")
            if not is_root and (name in ("", ".", "..") or not is_inside):
                raise TmError("the path %r is not one inside a directory" % entry.path)
            if entry.type == DIRECTORY:
                directories.add(entry.path)
        self.entries = entries

    @property
    def root(self) -> Entry:
        """Return the file or directory that was asked for."""
        return self.entries[0]

    @property
    def size(self) -> int:
        """Return the bytes of all files, holes included."""
        return sum(entry.size for entry in self.entries)

    @property
    def data(self) -> int:
        """Return the bytes that all files take on the source's disk."""
        return sum(entry.data for entry in self.entries)

    def is_same_place(self, other: "Tree") -> bool:
        """Tell whether both are one and the same file or directory.

        A copy has another inode or another change time; the same place has not, also where two
        hosts see it over a network file system, or where one host goes by two names.
        """
        return _identity(self.root) == _identity(other.root)

    def state(self) -> str:
        """Return a digest of what is here, which changes with anything that is written to it.

        Directories count by their names alone: a file system may count their times as it likes.
        """
        facts = [[entry.path, _state(entry)] for entry in self.entries]
        return hashlib.sha256(json.dumps(facts).encode("ascii")).hexdigest()

    def is_complete_copy(self, other: "Tree") -> bool:
        """Tell whether ``other`` has all of this: same names, types, sizes and times."""
        return self._contents() == other._contents() and self.root.mtime_ns is not None

    def _contents(self) -> Dict[str, Any]:
        return {entry.path: _content(entry) for entry in self.entries}

    def to_json(self) -> List[List[Any]]:
        """Return the entries as JSON values."""
        return [list(entry) for entry in self.entries]

    @classmethod
    def from_json(cls, rows: List[List[Any]]) -> "Tree":
        """Make a tree from what ``to_json`` gave.

        Raises:
            TmError: these are no entries, or a path could lead out of the root.
        """
        if not isinstance(rows, list) or not rows or not all(map(_is_row, rows)):
            raise TmError("the stream is damaged: what is offered is no list of files")
        tree = cls([Entry(*row) for row in rows])
        if tree.root.type == LINK:
            raise TmError("the stream is damaged: a link cannot be offered")
        return tree


def _is_row(row: Any) -> bool:
    """Tell whether another host's JSON is an entry: of the right types, and possible as names."""
    if not isinstance(row, list) or len(row) != len(Entry._fields):
        return False
    entry = Entry(*row)
    numbers = (entry.size, entry.data, entry.mode, entry.inode)
    times = (entry.ctime_ns, 0 if entry.mtime_ns is None else entry.mtime_ns)
    return (
        entry.type in (FILE, DIRECTORY, LINK)
        and all(map(_is_name, (entry.path, entry.target)))
        and all(type(number) is int and 0 <= number < MOST for number in numbers)
        and all(type(time) is int and -MOST // 2 < time < MOST // 2 for time in times)
        and entry.size < MOST // 2
        and entry.mode <= 0o7777
    )


def _is_name(text: Any) -> bool:
    try:
        return "\0" not in text and bool(os.fsencode(text) or True)
    except (TypeError, UnicodeEncodeError):
        return False


def _identity(entry: Entry) -> Any:
    return (entry.type, entry.size, entry.inode, entry.mtime_ns, entry.ctime_ns)


def _state(entry: Entry) -> Any:
    return entry.type if entry.type == DIRECTORY else [entry.target, *_identity(entry)]


def _content(entry: Entry) -> Any:
    if entry.type == FILE:
        return (FILE, entry.size, entry.mtime_ns)
    return (entry.type, entry.target)


def scan(path: str, deep: bool = True) -> Tree:
    """List what is at a path; a symbolic link there is followed, those below it are not.

    Args:
        path: where.
        deep: whether to list what is in a directory.

    Raises:
        OSError: it cannot be read.
        TmError: there is something that is no file, directory, link or disk, or lies too deep.
    """
    real = os.path.realpath(path)
    root = _entry("", real)
    below = _below(real) if deep and root.type == DIRECTORY else ()
    return Tree([root, *below])


def scan_if_exists(path: str) -> Optional[Tree]:
    """List what is at a path, or return None if there is nothing that can be a copy."""
    if os.path.islink(path):
        return None
    try:
        return scan(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _below(directory: str) -> Iterator[Entry]:
    levels = [_directly_below(directory, "")]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            continue
        check_depth(directory, entry.path)
        yield entry
        if entry.type == DIRECTORY:
            levels.append(_directly_below(directory, entry.path))


def _directly_below(top: str, relative: str) -> Iterator[Entry]:
    directory = os.path.join(top, relative) if relative else top
    for name in names(directory):
        yield _entry(os.path.join(relative, name), os.path.join(directory, name))


def _entry(relative: str, path: str) -> Entry:
    status = os.lstat(path)
    fields = {
        "path": relative,
        "size": 0,
        "mtime_ns": status.st_mtime_ns,
        "mode": stat.S_IMODE(status.st_mode),
        "target": "",
        "data": 0,
        "inode": status.st_ino,
        "ctime_ns": status.st_ctime_ns,
    }  # type: Dict[str, Any]
    fields.update(_of_type(path, status))
    return Entry(**fields)


def _of_type(path: str, status: os.stat_result) -> Dict[str, Any]:
    if stat.S_ISREG(status.st_mode):
        data = min(status.st_size, status.st_blocks * 512)
        return {"type": FILE, "size": status.st_size, "data": data}
    if stat.S_ISDIR(status.st_mode):
        return {"type": DIRECTORY}
    if stat.S_ISLNK(status.st_mode):
        return {"type": LINK, "target": os.readlink(path)}
    if stat.S_ISBLK(status.st_mode):
        size = _device_size(path)
        return {"type": FILE, "size": size, "data": size, "mtime_ns": None, "mode": 0o600}
    raise TmError("%s is no file, directory, link or disk, and cannot be moved" % path)


def _device_size(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def is_settled(entry: Entry) -> bool:
    """Tell whether a file's change time is so old that the next change will show in it.

    A file system counts in ticks, and one that is shared with a clock of its own.
    """
    return time.time() - entry.ctime_ns / 1e9 > SETTLED_SECONDS


def changed(entry: Entry, status: os.stat_result) -> bool:
    """Tell whether a file is no longer what the entry says."""
    if entry.mtime_ns is None:
        return entry.inode != status.st_ino
    now = (status.st_ino, status.st_size, status.st_mtime_ns)
    return now != (entry.inode, entry.size, entry.mtime_ns)
