"""Images that a host keeps, so that the next VM's copy does not cross the network.

An entry has the name of its source's state: host, path, size, times and inode. A source that
changed has another name, so nothing here is ever out of date. Host and path are those that the
controller asked for, so that no host fills the entry of another one's image, whatever it says of
itself. What an entry consists of is told in ``kept``.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
from typing import Callable, Dict, Iterator

from ansible_collections.one.tm.plugins.module_utils import directories, entries, paths
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.eviction import evict
from ansible_collections.one.tm.plugins.module_utils.kept import Entry

__metaclass__ = type

GIB = 1 << 30
DAY_SECONDS = 24 * 3600
PAUSE_SECONDS = 0.1


def key_of(name: str, host: Dict[str, str], path: str, entry: entries.Entry) -> str:
    """Return the name of a source's state; nothing for a disk, whose state nobody knows.

    Args:
        name: of the source's host, by which the controller reached it.
        host: what that host says of itself, see ``identity.host``.
        path: of the source, there, as the controller asked for it.
        entry: the source.
    """
    if entry.type != entries.FILE or entry.mtime_ns is None:
        return ""
    # What a boot changes does not change the image.
    where = [host["machine"]] if host.get("machine") else sorted(host.items())
    facts = [name, where, path, entry.size, entry.mtime_ns, entry.inode, entry.ctime_ns]
    return hashlib.sha256(json.dumps(facts).encode("ascii")).hexdigest()


class Cache:
    """The cache of this host."""

    def __init__(self, directory: str, size: int, age: float) -> None:
        """Open it; its directory is made if it is missing.

        Args:
            directory: absolute path; links on the way to it are followed.
            size: bytes that it may hold.
            age: seconds that an entry stays unused.

        Raises:
            TmError: the path is no absolute one, or the directory none of ours.
            OSError: it cannot be made.
        """
        # What is made in it is made by a path without links.
        self._directory = paths.real_place(paths.checked(directory, "cache directory"))
        self._size = size
        self._age = age
        if not os.path.lexists(self._directory):
            directories.make_directory(os.path.dirname(self._directory), Attributes())
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._directory, 0o700)
        _check_directory(self._directory)

    def takes(self, size: int) -> bool:
        """Tell whether an image of so many bytes of data has room in it at all."""
        return size <= self._size

    @contextlib.contextmanager
    def entry(self, key: str, waiting: Callable[[], None]) -> Iterator[Entry]:
        """Give an entry: one to be read, or one to be filled that nobody else fills now.

        Args:
            key: see ``key_of``.
            waiting: called once if another process is filling it, and it has to be waited for.

        Raises:
            OSError: the file system has no locks, or cannot be written.
        """
        entry = self._settled(key, waiting)
        try:
            yield entry
        finally:
            entry.close()

    def _settled(self, key: str, waiting: Callable[[], None]) -> Entry:
        rounds = 0
        while True:
            entry = Entry(os.path.join(self._directory, key), self._make_room)
            if entry.open() or entry.claim():
                return entry
            rounds += 1
            if rounds == 2:
                waiting()
            # Not all at the same moment.
            time.sleep(PAUSE_SECONDS * (1 + os.getpid() % 16 / 16.0))

    def _make_room(self, needed: int) -> None:
        """Remove what is too old, and what was not used for longest until there is room.

        Args:
            needed: bytes of a new entry.
        """
        evict(self._directory, self._size - needed, self._age)


def _check_directory(path: str) -> None:
    """Refuse a directory in which others could put something; close it to them otherwise."""
    state = os.lstat(path)
    if not stat.S_ISDIR(state.st_mode):
        raise TmError("the cache directory %s is a link or a file; name a directory" % path)
    if state.st_uid != os.geteuid():
        raise TmError(
            "the cache directory %s belongs to user number %d, not to %d; give it to the driver's "
            "user, or name another" % (path, state.st_uid, os.geteuid())
        )
    if state.st_mode & 0o022:
        raise TmError(
            "others may write to the cache directory %s; empty it and make its mode 0700" % path
        )
    os.chmod(path, 0o700)
