"""The side that reads an image and writes it to a stream."""

import errno
import os
from typing import Any, Callable, Dict, Sequence

from ansible_collections.one.tm.plugins.module_utils import (
    entries,
    formats,
    frames,
    identity,
    marker,
    outgoing,
    pace,
    packing,
    paths,
    policy,
    sources,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, sentence

__metaclass__ = type


class Sender:
    """Sends what is at one path.

    Attributes of ``config``: ``source``, ``source_dirs``, those of ``policy.ARGUMENTS``, ``move``,
    ``directories``, ``compression`` (one of ``packing.MODES``), ``bandwidth_mib`` of this host,
    ``format``, of ``formats.rules_of``.
    """

    def __init__(self, config: Dict[str, Any], writer: frames.FrameWriter) -> None:
        """Take what to send and where to write it."""
        self._config = config
        self._writer = writer
        self._path = paths.checked(config["source"], "source")
        self._real = self._path
        self._is_own = False

    def offer(self) -> entries.Tree:
        """Write the header: what there is to send.

        Raises:
            TmError: the source may not be read, or is something that cannot be sent.
        """
        try:
            self._real = self._allowed()
            found = entries.scan(self._real, deep=self._config["directories"])
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            found = entries.Tree([])
        self._check_kind(found)
        if not self._is_own:
            names = (entry.path for entry in found.entries)
            sources.check_tree(self._path, self._real, names, policy.policy_of(self._config))
        header = {
            "path": self._path,
            "entries": found.to_json(),
            "host": identity.host(),
            "backing": self._check_format(found),
            "settled": bool(found.entries) and entries.is_settled(found.root),
        }
        self._writer.write_json(frames.HEADER, header)
        return found

    def _check_format(self, found: entries.Tree) -> Sequence[Sequence[Any]]:
        """Return what an image builds on; a directory's images are not looked into."""
        if not found.entries or found.root.type != entries.FILE:
            return ()
        descriptor = os.open(self._real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            # What is looked into has to be what is sent.
            if entries.changed(found.root, os.fstat(descriptor)):
                raise TmError("%s was replaced while it was looked at; try again" % self._path)
            return formats.check(self._path, descriptor, formats.rules_of(self._config))
        finally:
            os.close(descriptor)

    def _check_kind(self, found: entries.Tree) -> None:
        is_directory = bool(found.entries) and found.root.type == entries.DIRECTORY
        if is_directory and not self._config["directories"]:
            raise TmError("the source %s is a directory, an image is needed" % self._path)

    def _allowed(self) -> str:
        """Return the real path of the source, all links followed, if it may be read or moved."""
        rules = policy.policy_of(self._config)
        if not self._config["move"]:
            with sources.seen(self._path, rules) as anchor:
                return os.readlink(anchor)
        real = policy.check_removable(self._path, rules, "source")
        if os.path.islink(real):
            # What a link of a VM's leads to is copied, so it is a source as any other.
            real = os.path.realpath(real)
            sources.check(self._path, real, rules)
        else:
            self._is_own = True
        return real

    def send(self, found: entries.Tree, answer: Dict[str, Any]) -> None:
        """Write whether the source is the destination; if not, the data of every file.

        Args:
            found: what was offered.
            answer: the receiver's: ``marker``, the name of the file beside the destination;
                ``name``, the destination's; ``offset``, up to which a single file is there.

        Raises:
            TmError: a file is not what was offered, or changed while it was read.
        """
        is_same = marker.is_destination(self._path, answer["marker"], answer["name"])
        self._writer.write(frames.SAME, int(is_same))
        if is_same:
            return
        packer = packing.Packer(self._config.get("compression", "auto"))
        pacer = pace.Pacer(self._config.get("bandwidth_mib") or 0)
        files = outgoing.Outgoing(self._writer, packer, pacer)
        for index, entry in enumerate(found.entries):
            if entry.type == entries.FILE:
                self._writer.write(frames.FILE, index)
                path = os.path.join(self._real, entry.path)
                files.send(path, entry, answer.get("offset", 0))
        self._writer.write(frames.END)


def run(config: Dict[str, Any], answer: Callable[[], Dict[str, Any]], output: int) -> None:
    """Offer the source, wait for the answer, and send what it asks for.

    Args:
        config: what to send, see ``Sender``.
        answer: reads the receiver's answer, which the controller passes on.
        output: file descriptor of the stream.
    """
    writer = frames.FrameWriter(output)
    try:
        with sources.readable(config["source"]):
            sender = Sender(config, writer)
            found = sender.offer()
            reply = answer()
            if reply.get("send"):
                sender.send(found, reply)
    except TmError as error:
        writer.write_json(frames.ERROR, {"message": error.message, "detail": list(error.detail)})
    except BrokenPipeError:
        raise  # the receiver has ended, and has told why
    except OSError as error:
        writer.write_json(frames.ERROR, {"message": sentence(error), "detail": []})
