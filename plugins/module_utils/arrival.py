"""What was asked for becomes a file or a directory of files, whole or not at all."""

import os
from typing import Any, Callable, Optional

from ansible_collections.one.tm.plugins.module_utils import (
    attributes,
    blocks,
    directories,
    entries,
    files,
    frames,
    incoming,
    lifeline,
    marker,
    partial,
    room,
)
from ansible_collections.one.tm.plugins.module_utils.errors import about
from ansible_collections.one.tm.plugins.module_utils.telling import Telling

__metaclass__ = type


class Arrival:
    """Receives one file or directory under a final path.

    Attributes:
        resumed: bytes that an earlier run had brought.
    """

    def __init__(
        self,
        reader: frames.FrameReader,
        telling: Telling,
        wanted: attributes.Attributes,
        keep: Optional[Callable[[partial.Partial, str], None]] = None,
        check: Optional[Callable[[], None]] = None,
    ) -> None:
        """Take what it needs.

        Args:
            reader: of the stream.
            telling: whom to tell.
            wanted: mode and owner of what is made.
            keep: gets a single file that is whole, with its blocks, and its name of ours.
            check: called before what came gets its name; raises if it may not have that any more.
        """
        self._reader = reader
        self._telling = telling
        self._attributes = wanted
        self._keep = keep
        self._check = check
        self.resumed = 0

    def receive(self, found: entries.Tree, final: str, source: str) -> bool:
        """Ask for the data and make the image.

        Args:
            found: what the sender has.
            final: path that it gets, with no link in its directories; they are made.
            source: which file it is (``partial.source_of``); empty for a directory.

        Returns:
            False, having made nothing, if the source is the destination.

        Raises:
            TmError: nothing was made.
            OSError: nothing was made.
        """
        self._telling.size = found.size
        directory = os.path.dirname(final)
        full = room.filling(directory, found.data)
        with full, directories.workplace(final, self._attributes) as place:
            if found.root.type == entries.DIRECTORY:
                return self._receive_directory(found, place)
            return self._receive_single(found.root, place, source)

    def _begins(self, final: str, offset: int = 0) -> bool:
        """Ask for the data, and return whether they come from another place than ours."""
        with marker.placed(final) as name:
            answer = {"send": True, "marker": name, "name": os.path.basename(final)}
            self._telling.tell({"answer": dict(answer, offset=offset)})
            return not self._reader.expect(frames.SAME).offset

    def _receive_single(self, entry: entries.Entry, final: str, source: str) -> bool:
        with partial.arriving(final, source) as part:
            if not self._begins(final, part.offset):
                return False
            self.resumed = part.offset
            part.blocks = blocks.Blocks() if self._keep else None
            with about(final):
                self._fill(part.descriptor, entry, 0, part)
                self._reader.expect(frames.END)
                incoming.finish(part.descriptor, entry)
                with self._telling.heard(entry.size):
                    part.settle()
                    os.fsync(part.descriptor)
            if self._keep:
                self._keep(part, files.temporary_name(final))
            self._publish(files.temporary_name(final), final)
        return True

    def _receive_directory(self, found: entries.Tree, final: str) -> bool:
        with files.new_directory(final) as temporary:
            if not self._begins(final):
                return False
            for index, entry in enumerate(found.entries):
                self._make_entry(os.path.join(temporary, entry.path), entry, index)
            self._reader.expect(frames.END)
            for entry in reversed(found.entries):
                if entry.type == entries.DIRECTORY:
                    self._finish_directory(os.path.join(temporary, entry.path), entry)
            self._publish(temporary, final)
        # An attempt that was cut off between its two renames left this.
        lifeline.discard(files.replaced_name(final))
        return True

    def _publish(self, temporary: str, final: str) -> None:
        if self._check:
            self._check()
        files.publish(temporary, final, self._attributes)

    def _make_entry(self, path: str, entry: entries.Entry, index: int) -> None:
        if entry.type == entries.LINK:
            os.symlink(entry.target, path)
            user, group = attributes.owner_ids(self._attributes)
            os.lchown(path, user, group)
        elif entry.type == entries.FILE:
            self._make_file(path, entry, index)
        elif entry.path:
            os.mkdir(path, 0o700)

    def _make_file(self, path: str, entry: entries.Entry, index: int) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with about(path):
                self._fill(descriptor, entry, index, None)
                incoming.finish(descriptor, entry)
                with self._telling.heard(0):
                    os.fsync(descriptor)
                self._own(descriptor)
        finally:
            os.close(descriptor)

    def _fill(self, descriptor: int, entry: entries.Entry, index: int, part: Any) -> None:
        if self._reader.expect(frames.FILE).offset != index:
            raise frames.DamageError("the stream is damaged: the files come in another order")
        incoming.Incoming(self._reader, self._telling, descriptor, part).fill(entry.size)
        self._telling.finish(entry.size)

    def _own(self, descriptor: int) -> None:
        attributes.set_attributes(descriptor, self._attributes._replace(mode=None))

    def _finish_directory(self, path: str, entry: entries.Entry) -> None:
        descriptor = os.open(path.rstrip("/"), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            self._own(descriptor)
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime_ns or 0, entry.mtime_ns or 0))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
