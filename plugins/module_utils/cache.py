"""Images that a host keeps, so that the next VM's copy does not cross the network.

An entry has the name of its source's state: host, path, size, times and inode. A source that
changed has another name, so nothing here is ever out of date. Of a name there are three files:
``.img``, the image; ``.json``, the note that it is whole, and whose state proves that nobody
touched it since; ``.lock``, shared by those who read it and held by the one who fills it.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from ansible_collections.one.tm.plugins.module_utils import copying, entries, files, keylock
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.eviction import NOTE_BYTES, evict

__metaclass__ = type

GIB = 1 << 30
DAY_SECONDS = 24 * 3600
PAUSE_SECONDS = 0.1
READ_ONLY = Attributes(mode=0o400)

Paths = NamedTuple("Paths", [("image", str), ("note", str), ("lock", str)])


def key_of(host: Dict[str, str], path: str, entry: entries.Entry) -> str:
    """Return the name of a source's state; nothing for a disk, whose state nobody knows.

    Args:
        host: what the source's host says of itself, see ``identity.host``.
        path: of the source, there.
        entry: the source.
    """
    if entry.type != entries.FILE or entry.mtime_ns is None:
        return ""
    # What a boot changes does not change the image.
    where = [host["machine"]] if host.get("machine") else sorted(host.items())
    facts = [where, path, entry.size, entry.mtime_ns, entry.inode, entry.ctime_ns]
    return hashlib.sha256(json.dumps(facts).encode("ascii")).hexdigest()


class Cache:
    """The cache of this host."""

    def __init__(self, directory: str, size: int, age: float) -> None:
        """Open it; its directory is made if it is missing.

        Args:
            directory: absolute path.
            size: bytes that it may hold.
            age: seconds that an entry stays unused.

        Raises:
            TmError: the directory is none of ours.
            OSError: it cannot be made.
        """
        if not directory.startswith("/"):
            raise TmError("the cache directory %s is no absolute path" % directory)
        self._directory = directory.rstrip("/")
        self._size = size
        self._age = age
        if not os.path.lexists(self._directory):
            files.make_directory(os.path.dirname(self._directory), Attributes())
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._directory, 0o700)
        _check_directory(self._directory)

    def takes(self, size: int) -> bool:
        """Tell whether an image of so many bytes of data has room in it at all."""
        return size <= self._size

    @contextlib.contextmanager
    def entry(self, key: str, waiting: Callable[[], None]) -> Iterator["Entry"]:
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

    def _settled(self, key: str, waiting: Callable[[], None]) -> "Entry":
        rounds = 0
        while True:
            entry = Entry(self, self._paths(key))
            if entry.open() or entry.claim():
                return entry
            rounds += 1
            if rounds == 2:
                waiting()
            # Not all at the same moment.
            time.sleep(PAUSE_SECONDS * (1 + os.getpid() % 16 / 16.0))

    def _paths(self, key: str) -> Paths:
        stem = os.path.join(self._directory, key)
        return Paths(stem + ".img", stem + ".json", stem + ".lock")

    def make_room(self, needed: int) -> None:
        """Remove what is too old, and what was not used for longest until there is room.

        Args:
            needed: bytes of a new entry.
        """
        evict(self._directory, self._size - needed, self._age)


class Entry:
    """One image in the cache.

    Attributes:
        source: the image, open for reading; None if it is to be filled.
    """

    def __init__(self, cache: Cache, paths: Paths) -> None:
        """Take where it is; ``open`` or ``claim`` comes next."""
        self._cache = cache
        self._paths = paths
        self._lock = keylock.KeyLock(paths.lock)
        self.source = None  # type: Optional[copying.Source]

    def open(self) -> bool:
        """Open the image beside others who read it; return whether it is there and whole."""
        if not os.path.lexists(self._paths.note) or not self._lock.take(alone=False):
            return False
        self.source = self._whole()
        if self.source is None:
            self._lock.release()
            return False
        os.utime(self._paths.note)
        return True

    def claim(self) -> bool:
        """Have the entry alone, and empty; return whether nobody else fills or reads it."""
        if not self._lock.take(alone=True):
            return False
        source = self._whole()
        if source is not None:
            os.close(source.descriptor)
            self._lock.release()
            return False
        self._discard()
        return True

    def fill(self, source: copying.Source) -> None:
        """Keep a copy of an image, and let those in who wait for it.

        Args:
            source: what was proven to be the image.

        Raises:
            TmError: it cannot be kept.
            OSError: it cannot be kept.
        """
        try:
            self._cache.make_room(source.data_bytes)
            copying.copy(source, self._paths.image, READ_ONLY)
            self._write_note()
        except BaseException:
            self._discard()
            raise
        self._lock.share()

    def close(self) -> None:
        """Let others have it."""
        if self.source is not None:
            os.close(self.source.descriptor)
        self._lock.release()

    def _discard(self) -> None:
        for path in (self._paths.note, self._paths.image):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _whole(self) -> Optional[copying.Source]:
        """Return the image, open, if it is just as it was when it was noted."""
        try:
            with open(self._paths.note, "rb") as stream:
                noted = json.loads(stream.read(NOTE_BYTES).decode("ascii"))
            source = copying.open_source(self._paths.image, follow=False)
        except (OSError, ValueError, TmError):
            return None
        if noted == _facts(source.state):
            return source
        os.close(source.descriptor)
        return None

    def _write_note(self) -> None:
        facts = _facts(os.lstat(self._paths.image))
        with files.new_file(self._paths.note) as descriptor:
            os.write(descriptor, json.dumps(facts).encode("ascii"))
            temporary = files.temporary_name(self._paths.note)
            files.publish(temporary, self._paths.note, Attributes(mode=0o600))


def _facts(state: os.stat_result) -> Dict[str, Any]:
    """Return what changes with anything that is done to a file."""
    return {
        "inode": state.st_ino,
        "size": state.st_size,
        "mtime_ns": state.st_mtime_ns,
        "ctime_ns": state.st_ctime_ns,
        "mode": state.st_mode,
        "owner": state.st_uid,
        "links": state.st_nlink,
    }


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
