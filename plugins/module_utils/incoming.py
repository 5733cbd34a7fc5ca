"""The data of one file as they come, written where they belong."""

import os
from typing import Optional

from ansible_collections.one.tm.plugins.module_utils import disk, entries, frames
from ansible_collections.one.tm.plugins.module_utils.partial import Partial
from ansible_collections.one.tm.plugins.module_utils.segment import SegmentDigest
from ansible_collections.one.tm.plugins.module_utils.telling import Telling

__metaclass__ = type


class Incoming:
    """Reads the data of one file, proves them, and writes them; what is left out is a hole.

    Attributes:
        position: offset up to which the file is there, in bytes.
    """

    def __init__(
        self,
        reader: frames.FrameReader,
        telling: Telling,
        descriptor: int,
        partial: Optional[Partial] = None,
    ) -> None:
        """Take where they come from and go to.

        Args:
            reader: of the stream.
            telling: hears of progress.
            descriptor: of a file that has nothing behind what is proven.
            partial: that file, if it can be continued.
        """
        self._reader = reader
        self._telling = telling
        self._descriptor = descriptor
        self._partial = partial
        self.position = partial.offset if partial else 0
        self._segment = SegmentDigest(self.position)

    def fill(self, size: int) -> None:
        """Take everything up to the end of the file.

        Args:
            size: that it will have, in bytes.

        Raises:
            TmError: the data are damaged or incomplete, or the stream ended.
        """
        # Now, since behind the end of a file XFS allocates more than is written.
        os.ftruncate(self._descriptor, size)
        with disk.writing(self._descriptor) as self._disk:
            self._take_all(size)

    def _take_all(self, size: int) -> None:
        while True:
            frame = self._reader.expect(
                frames.DATA, frames.PACKED, frames.POSITION, frames.SEGMENT, frames.END_OF_FILE
            )
            self._check_place(frame, size)
            if frame.type in (frames.DATA, frames.PACKED):
                self._take(frame, size)
                continue
            self.position = frame.offset
            if frame.type == frames.SEGMENT:
                self._end_segment(frame)
            elif frame.type == frames.END_OF_FILE:
                self._end_file(frame, size)
                return
            self._telling.at(self.position)

    def _check_place(self, frame: frames.Frame, size: int) -> None:
        """Refuse what is behind the end, and what would replace something proven."""
        if not self.position <= frame.offset <= size:
            raise frames.DamageError("the stream is damaged: data out of their place")

    def _take(self, frame: frames.Frame, size: int) -> None:
        self._telling.pacer.take(frame.length)
        data = self._reader.data(frame)
        if frame.offset + len(data) > size:
            raise frames.DamageError("the stream is damaged: data behind the end of a file")
        self._segment.add(frame.offset, len(data), frame.check)
        self._disk.write(data, frame.offset)
        if self._partial:
            self._partial.came(frame.offset, len(data), frame.check)
        self.position = frame.offset + len(data)
        self._telling.at(self.position, len(data))

    def _end_segment(self, frame: frames.Frame) -> None:
        self._prove(frame)
        self._segment = SegmentDigest(frame.offset)
        if self._partial:
            with self._telling.heard(frame.offset):
                self._disk.settle()
                self._partial.prove(frame.offset)

    def _end_file(self, frame: frames.Frame, size: int) -> None:
        if frame.offset != size:
            raise frames.DamageError("the file was cut off")
        self._prove(frame)

    def _prove(self, frame: frames.Frame) -> None:
        if self._reader.payload(frame) != self._segment.finish(frame.offset):
            raise frames.DamageError("what came is not all that was sent")


def finish(descriptor: int, entry: entries.Entry) -> None:
    """Give a file that is complete its source's mode and time."""
    os.fchmod(descriptor, entry.mode & 0o777)
    if entry.mtime_ns is not None:
        os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
