"""One image that a host keeps, and what proves that it still is what came.

Of an entry there are four files: ``.img``, the image; ``.sum``, its blocks (``blocks``); ``.json``,
the note that it is whole, with the digest of the blocks and the state of the image; ``.lock``,
shared by those who read it and held by the one who fills it.

An image whose inode, size, times, mode or owner is not that of the note was touched. One that is
read is proven block by block as well; where the file system shares blocks (reflink), nothing is
read.
"""

import contextlib
import json
import os
import struct
from typing import Any, Callable, Dict, Optional

from ansible_collections.one.tm.plugins.module_utils import copying, files, frames, keylock
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes
from ansible_collections.one.tm.plugins.module_utils.blocks import Blocks
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.meter import Meter

__metaclass__ = type

IMAGE, BLOCKS, NOTE, LOCK = ".img", ".sum", ".json", ".lock"
NOTE_BYTES = 4096
READ_ONLY = Attributes(mode=0o400)
PRIVATE = Attributes(mode=0o600)


class Entry:
    """One image in the cache.

    Attributes:
        source: the image, open for reading; None if it is to be filled.
    """

    def __init__(self, stem: str, make_room: Callable[[int], None]) -> None:
        """Take where it is; ``open`` or ``claim`` comes next.

        Args:
            stem: path of its files, without their endings.
            make_room: sees that a number of bytes may come.
        """
        self._stem = stem
        self._make_room = make_room
        self._lock = keylock.KeyLock(stem + LOCK)
        self._digest = ""
        self.source = None  # type: Optional[copying.Source]

    def open(self) -> bool:
        """Open the image beside others who read it; return whether it is there and whole."""
        if not os.path.lexists(self._stem + NOTE) or not self._lock.take(alone=False):
            return False
        self.source = self._whole()
        if self.source is None:
            self._lock.release()
            return False
        os.utime(self._stem + NOTE)
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

    def copy(
        self, source: copying.Source, destination: str, attributes: Attributes, meter: Meter
    ) -> bool:
        """Copy the image, and prove what of it is read.

        Args:
            source: the image.
            destination: path; its directory is made.
            attributes: mode and owner of the copy.
            meter: measures it.

        Returns:
            Whether data were moved; not so if the file system shares them.

        Raises:
            DamageError: it is not what came.
            TmError: see ``copying.copy``.
            OSError: see ``copying.copy``.
        """
        return copying.copy(source, destination, attributes, meter, self._copy_contents)

    def _copy_contents(self, *arguments: Any) -> None:
        try:
            with open(self._stem + BLOCKS, "rb") as stream:
                blocks = Blocks(stream.read())
            is_ours = blocks.digest(arguments[0].size) == self._digest
        except (OSError, struct.error):
            is_ours = False
        if not is_ours:
            raise frames.DamageError("the list of its blocks is not what was written")
        blocks.copy_contents(*arguments)

    def throw_away(self) -> bool:
        """Have nobody use the image any more; return whether this process is to fill it anew."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._stem + NOTE)
        self.close()
        return self.claim()

    def fill(self, source: copying.Source, blocks: Blocks) -> None:
        """Keep a copy of an image, and let those in who wait for it.

        Args:
            source: what was proven to be the image.
            blocks: of which it consists.

        Raises:
            TmError: it cannot be kept.
            OSError: it cannot be kept.
        """
        try:
            self._make_room(source.data_bytes)
            copying.copy(source, self._stem + IMAGE, READ_ONLY, contents=blocks.copy_contents)
            _write(self._stem + BLOCKS, blocks.rows)
            facts = _facts(os.lstat(self._stem + IMAGE), blocks.digest(source.size))
            _write(self._stem + NOTE, json.dumps(facts).encode("ascii"))
        except BaseException:
            self._discard()
            raise
        self._lock.share()

    def close(self) -> None:
        """Let others have it."""
        if self.source is not None:
            os.close(self.source.descriptor)
            self.source = None
        self._lock.release()

    def _discard(self) -> None:
        discard(self._stem)

    def _whole(self) -> Optional[copying.Source]:
        """Return the image, open, if it is just as it was when it was noted."""
        try:
            with open(self._stem + NOTE, "rb") as stream:
                noted = json.loads(stream.read(NOTE_BYTES).decode("ascii"))
            source = copying.open_source(self._stem + IMAGE, follow=False)
        except (OSError, ValueError, TmError):
            return None
        digest = noted.get("digest") if isinstance(noted, dict) else None
        if digest and noted == _facts(source.state, digest):
            self._digest = digest
            return source
        os.close(source.descriptor)
        return None


def discard(stem: str) -> None:
    """Remove the image of an entry, its note first; for who holds the lock alone."""
    for suffix in (NOTE, BLOCKS, IMAGE):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stem + suffix)


def _write(path: str, data: bytes) -> None:
    with files.new_file(path) as descriptor:
        frames.write_all(descriptor, data)
        files.publish(files.temporary_name(path), path, PRIVATE)


def _facts(state: os.stat_result, digest: str) -> Dict[str, Any]:
    """Return the digest, and what changes with anything that is done to a file."""
    return {
        "digest": digest,
        "inode": state.st_ino,
        "size": state.st_size,
        "mtime_ns": state.st_mtime_ns,
        "ctime_ns": state.st_ctime_ns,
        "mode": state.st_mode,
        "owner": state.st_uid,
        "links": state.st_nlink,
    }
