"""The side that reads a stream and makes an image of it, whole or not at all."""

import contextlib
import errno
import os
import threading
import time
from typing import Any, BinaryIO, Callable, Dict, Iterator, Optional

from ansible_collections.one.tm.plugins.module_utils import (
    attributes,
    entries,
    files,
    frames,
    lifeline,
    marker,
    placing,
    room,
    sparse,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about, sentence
from ansible_collections.one.tm.plugins.module_utils.sizes import human

__metaclass__ = type

PROGRESS_SECONDS = 0.5
BEAT_SECONDS = 10.0
FULL = (errno.ENOSPC, errno.EDQUOT)

Tell = Callable[[Dict[str, Any]], None]


class SourceError(TmError):
    """An error that the sender reported."""


class Receiver:
    """Receives one file or directory.

    Attributes of ``config``: ``destination``, ``into``, ``move``, ``allowed_dirs``, ``mode``,
    ``owner``, ``group``, ``check``.
    """

    def __init__(self, config: Dict[str, Any], reader: frames.FrameReader, tell: Tell) -> None:
        """Take where to put it, where to read, and whom to tell."""
        self._config = config
        self._reader = reader
        self._tell = tell
        self._attributes = attributes.Attributes(config["mode"], config["owner"], config["group"])
        self._buffer = memoryview(bytearray(frames.BLOCK_BYTES))
        self._size = 0  # bytes of all files
        self._before = 0  # bytes of the files that are done
        self._received = 0  # bytes of data
        self._told = time.monotonic()

    def run(self) -> Dict[str, Any]:
        """Take the offer, answer it, and receive what was asked for.

        Returns:
            what the action's result says.

        Raises:
            TmError: nothing was made; ``SourceError`` if the sender said why.
            OSError: nothing was made.
        """
        offer = self._offer()
        place = placing.find_place(self._config, offer)
        if offer.found is None:
            return self._gone(offer, place)
        result = self._result(offer.found, place)
        if place.there and place.there.is_same_place(offer.found):
            return dict(result, changed=False, same=True)
        if place.there and not self._config["move"] and offer.found.is_complete_copy(place.there):
            return dict(result, changed=self._set_attributes(place.final), complete=True)
        placing.check_fits(place, offer.found)
        room.need_room(os.path.dirname(place.final), offer.found.data)
        if not self._config["check"]:
            same = not self._receive(offer.found, place.final, offer.digest)
            result.update(same=same)
        return dict(result, changed=not result["same"], bytes=self._received)

    def _offer(self) -> placing.Offer:
        self._reader.skip_noise()
        header = self._json_of(frames.HEADER)
        rows = header["entries"]
        found = entries.Tree.from_json(rows) if rows else None
        return placing.Offer(header["name"], header["path"], found, header["digest"])

    def _json_of(self, type_: bytes) -> Dict[str, Any]:
        return self._reader.json(self._next(type_).length)

    def _next(self, *types: bytes) -> frames.Frame:
        """Read the head of the next frame, which has one of these types."""
        frame = self._reader.frame()
        if frame.type == frames.ERROR:
            error = self._reader.json(frame.length)
            raise SourceError(error["message"], error["detail"])
        if frame.type not in types:
            raise TmError("the stream is damaged: an unexpected frame %r" % frame.type)
        return frame

    def _gone(self, offer: placing.Offer, place: placing.Place) -> Dict[str, Any]:
        """Succeed if the source was moved here earlier, as a repeated script finds it."""
        if self._config["move"] and place.there is not None:
            result = self._result(place.there, place)
            return dict(result, changed=False, gone=True, state=entries.Tree([]).state())
        raise SourceError("no such file: %s" % offer.path)

    def _result(self, found: entries.Tree, place: placing.Place) -> Dict[str, Any]:
        count = sum(entry.type == entries.FILE for entry in found.entries)
        return {
            "destination": place.final,
            "type": found.root.type,
            "files": count,
            "size": found.size,
            "bytes": 0,
            "complete": False,
            "same": False,
            "gone": False,
            "state": found.state(),
        }

    def _set_attributes(self, final: str) -> bool:
        """Give a complete image the mode and owner that it should have; tell if that changed it."""
        descriptor = os.open(final, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            before = os.fstat(descriptor)
            if not self._config["check"]:
                attributes.set_attributes(descriptor, self._attributes, fresh=False)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return (before.st_mode, before.st_uid, before.st_gid) != (
            after.st_mode,
            after.st_uid,
            after.st_gid,
        )

    def _receive(self, found: entries.Tree, final: str, digest: str) -> bool:
        """Ask for the data and make the image; return False if the source is the destination."""
        self._size = found.size
        directory = os.path.dirname(final)
        files.make_directory(directory, self._attributes)
        try:
            if found.root.type == entries.DIRECTORY:
                return self._receive_directory(found, final, digest)
            return self._receive_single(found, final, digest)
        except OSError as error:
            if error.errno in FULL:
                raise TmError(self._full(directory, found.data), [sentence(error)]) from error
            raise

    def _full(self, directory: str, needed: int) -> str:
        return "no space left in %s after %s of %s" % (
            directory,
            human(self._received),
            human(needed),
        )

    def _begins(self, final: str) -> bool:
        """Ask for the data, and return whether they come from another place than ours."""
        with marker.placed(final) as name:
            answer = {"send": True, "marker": name, "name": os.path.basename(final)}
            self._tell({"answer": answer})
            return not self._next(frames.SAME).offset

    def _receive_single(self, found: entries.Tree, final: str, digest: str) -> bool:
        with files.new_file(final) as descriptor:
            if not self._begins(final):
                return False
            self._receive_file(descriptor, found.root, 0, frames.FileDigest(digest), final)
            self._next(frames.END)
            files.publish(files.temporary_name(final), final, self._attributes)
        return True

    def _receive_directory(self, found: entries.Tree, final: str, digest: str) -> bool:
        with files.new_directory(final) as temporary:
            if not self._begins(final):
                return False
            for index, entry in enumerate(found.entries):
                path = os.path.join(temporary, entry.path)
                self._make_entry(path, entry, index, digest)
            self._next(frames.END)
            for entry in reversed(found.entries):
                if entry.type == entries.DIRECTORY:
                    self._finish_directory(os.path.join(temporary, entry.path), entry)
            files.publish(temporary, final, self._attributes)
        # An attempt that was cut off between its two renames left this.
        lifeline.discard(files.replaced_name(final))
        return True

    def _make_entry(self, path: str, entry: entries.Entry, index: int, digest: str) -> None:
        if entry.type == entries.LINK:
            os.symlink(entry.target, path)
            user, group = attributes.owner_ids(self._attributes)
            os.lchown(path, user, group)
        elif entry.type == entries.FILE:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                file_digest = frames.FileDigest(digest)
                self._receive_file(descriptor, entry, index, file_digest, path)
                self._own(descriptor)
            finally:
                os.close(descriptor)
        elif entry.path:
            os.mkdir(path, 0o700)

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

    def _receive_file(
        self,
        descriptor: int,
        entry: entries.Entry,
        index: int,
        digest: frames.FileDigest,
        final: str,
    ) -> None:
        """Fill an empty file, check it, flush it, and give it the source's mode and time."""
        if self._next(frames.FILE).offset != index:
            raise TmError("the stream is damaged: the files come in another order")
        with about(final):
            end = self._receive_data(descriptor, entry.size, digest)
            if end.offset != entry.size:
                raise TmError("%s was cut off" % final)
            if self._reader.payload(end.length) != digest.finish(entry.size):
                raise TmError("%s was damaged on its way; try again" % final)
            os.ftruncate(descriptor, entry.size)
            os.fchmod(descriptor, entry.mode & 0o777)
            if entry.mtime_ns is not None:
                os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            with self._heard(entry.size):
                os.fsync(descriptor)
        self._before += entry.size

    def _receive_data(self, descriptor: int, size: int, digest: frames.FileDigest) -> frames.Frame:
        """Write data where they belong until the file ends; what is left out is a hole."""
        while True:
            frame = self._next(frames.DATA, frames.POSITION, frames.END_OF_FILE)
            if frame.type == frames.END_OF_FILE:
                return frame
            if frame.offset + frame.length > size:
                raise TmError("the stream is damaged: data behind the end of a file")
            if frame.length:
                data = self._buffer[: frame.length]
                self._reader.payload_into(data)
                digest.add(frame.offset, data)
                sparse.write_all(descriptor, data, frame.offset)
                self._received += frame.length
            self._progress(frame.offset + frame.length)

    def _progress(self, position: int) -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            self._tell_progress(position)

    def _tell_progress(self, position: int) -> None:
        done = self._before + position
        self._tell({"progress": {"done": done, "size": self._size, "bytes": self._received}})

    @contextlib.contextmanager
    def _heard(self, position: int) -> Iterator[None]:
        """Tell progress meanwhile: a flush to a slow disk may outlast the longest silence."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                self._tell_progress(position)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @property
    def received(self) -> int:
        """Return how many bytes of data have come."""
        return self._received


def run(config: Dict[str, Any], file: BinaryIO, tell: Tell) -> None:
    """Receive a stream and tell how it went.

    Args:
        config: where to put it, see ``Receiver``.
        file: the stream.
        tell: passes messages on: ``answer``, ``progress``, then ``result`` or ``error``.
    """
    receiver = Receiver(config, frames.FrameReader(file), tell)
    try:
        tell({"result": receiver.run()})
    except TmError as error:
        tell({"error": _error(receiver, error, error.message, error.detail)})
    except OSError as error:
        tell({"error": _error(receiver, None, sentence(error), [])})


def _error(
    receiver: Receiver, error: Optional[TmError], message: str, detail: Any
) -> Dict[str, Any]:
    lost = isinstance(error, frames.StreamEndError)
    side = "source" if lost or isinstance(error, SourceError) else "destination"
    return {
        "side": side,
        "lost": lost,
        "bytes": receiver.received,
        "message": message,
        "detail": list(detail),
    }
