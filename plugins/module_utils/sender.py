"""The side that reads an image and writes it to a stream."""

import errno
import os
import time
from typing import Any, Callable, Dict

from ansible_collections.one.tm.plugins.module_utils import entries, frames, marker, paths, sparse
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about, sentence

__metaclass__ = type

POSITION_SECONDS = 0.5


class Sender:
    """Sends what is at one path.

    Attributes of ``config``: ``source``, ``source_dirs``, ``allowed_dirs``, ``move``,
    ``directories``.
    """

    def __init__(self, config: Dict[str, Any], writer: frames.FrameWriter) -> None:
        """Take what to send and where to write it."""
        self._config = config
        self._writer = writer
        self._digest = frames.fast_digest()
        self._path = os.path.normpath(config["source"])
        self._real = self._path

    def offer(self) -> entries.Tree:
        """Write the header: what there is to send.

        Raises:
            TmError: the source may not be read, or is something that cannot be sent.
        """
        self._check_policy()
        self._real = os.path.realpath(self._path)
        try:
            found = entries.scan(self._real)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            found = entries.Tree([])
        self._check_kind(found)
        header = {"name": os.path.basename(self._path), "path": self._path}
        self._writer.write_json(
            frames.HEADER, dict(header, entries=found.to_json(), digest=self._digest)
        )
        return found

    def _check_kind(self, found: entries.Tree) -> None:
        is_directory = bool(found.entries) and found.root.type == entries.DIRECTORY
        if is_directory and not self._config["directories"]:
            raise TmError("the source %s is a directory, an image is needed" % self._path)

    def _check_policy(self) -> None:
        if self._config["move"]:
            paths.check_allowed(self._path, self._config["allowed_dirs"])
        else:
            paths.check_source(self._path, self._config["source_dirs"])

    def send(self, found: entries.Tree, beside: str, name: str) -> None:
        """Write whether the source is the destination; if not, the data of every file.

        Args:
            found: what was offered.
            beside: name of the marker beside the destination.
            name: the destination's.

        Raises:
            TmError: a file is not what was offered, or changed while it was read.
        """
        is_same = marker.is_destination(self._path, beside, name)
        self._writer.write(frames.SAME, int(is_same))
        if is_same:
            return
        for index, entry in enumerate(found.entries):
            if entry.type == entries.FILE:
                self._writer.write(frames.FILE, index)
                self._send_file(os.path.join(self._real, entry.path), entry)
        self._writer.write(frames.END)

    def _send_file(self, path: str, entry: entries.Entry) -> None:
        # The root's path is real already; an entry that became a link is not to be followed.
        path = path.rstrip("/")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            self._check_unchanged(path, entry, descriptor)
            with about(path):
                digest = self._send_data(path, descriptor, entry.size)
            self._check_unchanged(path, entry, descriptor)
        finally:
            os.close(descriptor)
        self._writer.write(frames.END_OF_FILE, entry.size, digest)

    def _check_unchanged(self, path: str, entry: entries.Entry, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if entries.changed(entry, status) or os.lstat(path).st_ino != status.st_ino:
            raise TmError("%s changed while it was copied; stop what writes to it" % path)

    def _send_data(self, path: str, descriptor: int, size: int) -> bytes:
        digest = frames.FileDigest(self._digest)
        told = time.monotonic()
        for begin, end in sparse.extents(descriptor, size):
            for offset, block in sparse.read_blocks(path, descriptor, begin, end):
                self._send_block(offset, block, digest)
                if time.monotonic() - told > POSITION_SECONDS:
                    self._writer.write(frames.POSITION, offset + len(block))
                    told = time.monotonic()
        return digest.finish(size)

    def _send_block(self, offset: int, block: bytes, digest: frames.FileDigest) -> None:
        view = memoryview(block)
        for start, end in sparse.nonzero_runs(block):
            digest.add(offset + start, view[start:end])
            self._writer.write(frames.DATA, offset + start, view[start:end])


def run(config: Dict[str, Any], answer: Callable[[], Dict[str, Any]], output: int) -> None:
    """Offer the source, wait for the answer, and send what it asks for.

    Args:
        config: what to send, see ``Sender``.
        answer: reads the receiver's answer, which the controller passes on.
        output: file descriptor of the stream.
    """
    writer = frames.FrameWriter(output)
    try:
        sender = Sender(config, writer)
        found = sender.offer()
        reply = answer()
        if reply.get("send"):
            sender.send(found, reply["marker"], reply["name"])
    except TmError as error:
        writer.write_json(frames.ERROR, {"message": error.message, "detail": list(error.detail)})
    except BrokenPipeError:
        raise  # the receiver has ended, and has told why
    except OSError as error:
        writer.write_json(frames.ERROR, {"message": sentence(error), "detail": []})
