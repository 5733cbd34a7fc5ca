"""The side that reads an image and writes it to a stream."""

import errno
import os
import time
from typing import Any, Callable, Dict, Iterator, Tuple

from ansible_collections.one.tm.plugins.module_utils import copying, entries, frames, paths
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about, sentence

__metaclass__ = type

ZERO_BYTES = 1 << 16
ZEROS = bytes(ZERO_BYTES)
POSITION_SECONDS = 0.5


class Sender:
    """Sends what is at one path.

    Attributes of ``config``: ``source``, ``source_dirs``, ``allowed_dirs``, ``move``.
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
        header = {"name": os.path.basename(self._path), "path": self._path}
        self._writer.write_json(
            frames.HEADER, dict(header, entries=found.to_json(), digest=self._digest)
        )
        return found

    def _check_policy(self) -> None:
        if self._config["move"]:
            paths.check_allowed(self._path, self._config["allowed_dirs"])
        else:
            paths.check_source(self._path, self._config["source_dirs"])

    def send(self, found: entries.Tree) -> None:
        """Write the data of every file, and the end.

        Raises:
            TmError: a file is not what was offered, or changed while it was read.
        """
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
                digest = self._send_data(descriptor, entry.size)
            self._check_unchanged(path, entry, descriptor)
        finally:
            os.close(descriptor)
        self._writer.write(frames.END_OF_FILE, entry.size, digest)

    def _check_unchanged(self, path: str, entry: entries.Entry, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if entries.changed(entry, status) or os.lstat(path).st_ino != status.st_ino:
            raise TmError("%s changed while it was copied; stop what writes to it" % path)

    def _send_data(self, descriptor: int, size: int) -> bytes:
        digest = frames.FileDigest(self._digest)
        told = time.monotonic()
        for block_offset, block in read_blocks(descriptor, size):
            for start, end in nonzero_runs(block):
                run = memoryview(block)[start:end]
                digest.add(block_offset + start, run)
                self._writer.write(frames.DATA, block_offset + start, run)
            if time.monotonic() - told > POSITION_SECONDS:
                self._writer.write(frames.POSITION, block_offset + len(block))
                told = time.monotonic()
        return digest.finish(size)


def read_blocks(descriptor: int, size: int) -> Iterator[Tuple[int, bytes]]:
    """Yield offset and contents of what is no hole, in blocks of at most 1 MiB.

    Raises:
        TmError: the file is shorter than ``size``.
    """
    for start, end in copying.extents(descriptor, size):
        offset = start
        while offset < end:
            block = os.pread(descriptor, min(frames.BLOCK_BYTES, end - offset), offset)
            if not block:
                raise TmError("the source became shorter while it was copied; stop its writer")
            yield offset, block
            offset += len(block)


def nonzero_runs(block: bytes) -> Iterator[Tuple[int, int]]:
    """Yield start and end of the runs of 64 KiB pieces that are not all zero."""
    start = None
    for offset in range(0, len(block), ZERO_BYTES):
        # The last piece may be short; ``startswith`` compares in place, without a copy.
        if block.startswith(ZEROS[: len(block) - offset], offset):
            if start is not None:
                yield start, offset
            start = None
        elif start is None:
            start = offset
    if start is not None:
        yield start, len(block)


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
        if answer().get("send"):
            sender.send(found)
    except TmError as error:
        writer.write_json(frames.ERROR, {"message": error.message, "detail": list(error.detail)})
    except BrokenPipeError:
        raise  # the receiver has ended, and has told why
    except OSError as error:
        writer.write_json(frames.ERROR, {"message": sentence(error), "detail": []})
