"""A file that arrives in segments, and of which the next run keeps what is proven.

Beside the partial file lies a note: which source it is a copy of, and up to where its contents
were proven and on the disk. It is trusted only if all of it fits; else the file begins anew.
"""

import contextlib
import hashlib
import json
import os
import stat
import threading
from typing import Any, Iterator

from ansible_collections.one.tm.plugins.module_utils import entries, files, frames, lifeline
from ansible_collections.one.tm.plugins.module_utils.proof import (
    Note,
    is_private,
    read_note,
    write_note,
)
from ansible_collections.one.tm.plugins.module_utils.temporary import (
    PROVEN,
    is_at,
    lock,
    open_for_lock,
    temporary_name,
)

__metaclass__ = type


def source_of(name: str, host: Any, path: str, entry: entries.Entry) -> str:
    """Return a digest of which file a source is, and of its state; nothing for a disk.

    Args:
        name: of its host, by which the controller reached it.
        host: what that host says of itself.
        path: there, as the controller asked for it.
        entry: the file.
    """
    if entry.mtime_ns is None:
        return ""
    facts = [name, host, path, entry.size, entry.mtime_ns, entry.inode, entry.ctime_ns]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()


def left_bytes(final: str) -> int:
    """Return how much of the disk an earlier run's partial file takes, in bytes."""
    try:
        state = os.lstat(temporary_name(final))
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return state.st_blocks * 512 if stat.S_ISREG(state.st_mode) else 0


class Partial:
    """The file, open and held.

    Attributes:
        descriptor: open for writing.
        offset: bytes of it that an earlier run has proven.
        blocks: what this run brings; None if nobody wants to know.
    """

    def __init__(self, final: str, source: str, descriptor: int, offset: int) -> None:
        """Take what ``arriving`` opened."""
        self._paths = (temporary_name(final), temporary_name(final, PROVEN))
        self._source = source
        self.descriptor = descriptor
        self.offset = offset
        self.blocks = None  # type: Optional[Blocks]
        self._thread = None  # type: Optional[threading.Thread]
        self._error = None  # type: Optional[OSError]
        self._is_kept = True
        if offset:
            lifeline.spare(*self._paths)

    def came(self, offset: int, length: int, check: int) -> None:
        """Take note of a block that was written."""
        if self.blocks is not None:
            self.blocks.add(offset, length, check)

    def prove(self, offset: int) -> None:
        """Begin to have everything before an offset on the disk, to note then that it is proven.

        It waits for the one before and for nothing else: data go on coming, and who cancels need
        not wait for the disk.

        Args:
            offset: in bytes.

        Raises:
            OSError: the disk failed at the one before.
        """
        if self._source:
            self.settle()
            arguments = (os.dup(self.descriptor), offset)
            self._thread = threading.Thread(target=self._flush, args=arguments, daemon=True)
            self._thread.start()

    def _flush(self, descriptor: int, offset: int) -> None:
        try:
            os.fdatasync(descriptor)
            note = Note(self._source, os.fstat(descriptor).st_ino, offset)
            with lifeline.making:
                if self._is_kept:
                    write_note(self._paths[1], note)
                    lifeline.spare(*self._paths)
        except OSError as error:
            self._error = error  # the kernel tells of it only once
        finally:
            os.close(descriptor)

    def settle(self) -> None:
        """Wait until what was begun is noted.

        Raises:
            OSError: the disk failed.
        """
        if self._thread:
            self._thread.join()
            self._thread = None
        if self._error:
            raise self._error

    def discard(self) -> None:
        """Have nothing kept, whatever ends this run."""
        with lifeline.making:
            self._is_kept = False
            lifeline.spare_no_more(*self._paths)


@contextlib.contextmanager
def arriving(final: str, source: str) -> Iterator[Partial]:
    """Give the file under which a destination arrives; it is gone after the block.

    Only if the stream ends too early, what is proven stays for the next run.

    Args:
        final: the destination's path; its directory exists.
        source: see ``source_of``; empty if nothing is to be continued.

    Raises:
        TmError: somebody else makes the same destination now.
        OSError: it cannot be made.
    """
    path, note = temporary_name(final), temporary_name(final, PROVEN)
    descriptor, offset = _continued(path, note, source)
    if not offset:
        descriptor = files.new_part(final)
    with files.held(descriptor, path), lifeline.temporary(note):
        partial = Partial(final, source, descriptor, offset)
        try:
            yield partial
        except frames.StreamEndError:
            with contextlib.suppress(OSError):
                partial.settle()
            raise
        except BaseException:
            partial.discard()
            raise
        partial.discard()


def _continued(path: str, note_path: str, source: str) -> Any:
    """Open what an earlier run left, and return its descriptor and how far it is proven."""
    note = read_note(note_path)
    if note is None or not source or note.source != source:
        return -1, 0
    try:
        descriptor = open_for_lock(path)
    except OSError:
        return -1, 0
    if lock(descriptor) and is_at(path, descriptor) and _fits(descriptor, note):
        os.ftruncate(descriptor, note.offset)
        return descriptor, note.offset
    os.close(descriptor)
    return -1, 0


def _fits(descriptor: int, note: Note) -> bool:
    """Tell whether a file is the one of a note, and nobody but this user can have changed it."""
    state = os.fstat(descriptor)
    return (
        stat.S_ISREG(state.st_mode)
        and state.st_ino == note.inode
        and state.st_size >= note.offset > 0
        and is_private(state)
    )
