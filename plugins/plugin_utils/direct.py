"""The straight way between two hosts, and how it is told from one that cannot be gone."""

import base64
import contextlib
import json
import os
import subprocess
from typing import Any, Dict, Iterator, List, NamedTuple

from ansible_collections.one.tm.plugins.module_utils import direct as far
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import far_step, farside
from ansible_collections.one.tm.plugins.plugin_utils.cancel import SECONDS
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far
from ansible_collections.one.tm.plugins.plugin_utils.relay import Part, Relay
from ansible_collections.one.tm.plugins.plugin_utils.side import Side, start

__metaclass__ = type


class NoWayError(TmError):
    """One host cannot reach the other; nothing was copied."""


class End(NamedTuple):
    """One end of a copy.

    Attributes:
        host: where.
        config: of ``sender.Sender`` or ``receiver.Receiver``.
    """

    host: Far
    config: Dict[str, Any]


def way_of(source: End, destination: End) -> List[Any]:
    """Return what decides whether one end can reach the other: how each of them is reached."""
    words = [word for word in source.host.argv("") if b"ControlPath" not in word]
    return [words, os.environ.get("SSH_AUTH_SOCK", ""), destination.host.way("")]


def parts(source: End, destination: End) -> "tuple[Part, Part]":
    """Return what ``Direct`` runs.

    The destination is asked first what it says of itself: under its address, or through a tunnel
    that begins on the controller, the source may meet another host.

    Args:
        source: the sending end.
        destination: the receiving end.

    Raises:
        TmError: the destination cannot be reached by such an address or user.
    """
    host = destination.host
    way = host.way(farside.command(host.python))
    identity = far_step.take(host, lambda _message: None, "identity", {}, False)
    token = os.urandom(16).hex()
    receiving = dict(destination.config, here=identity, token=token)
    receiver = farside.program("stream", "receive", receiving)
    way.update(host=identity, local=destination.config.get("local", False), token=token)
    text = base64.b64encode(receiver).decode("ascii")
    sender = Part(source.host, "direct", (source.config, way, text))
    return sender, Part(host, "stream", ("receive",))


class Direct(Relay):
    """A transfer whose sender reaches the receiver itself; one program here carries messages."""

    def _start(self, sender: Part, receiver: Part) -> None:
        self._names = (sender.host.name, receiver.host.name)
        side = Side(sender.host, start(sender.host, subprocess.PIPE, subprocess.PIPE))
        self._sides = [side, side]
        self._to_sender(sender.program)

    def _tell_cancelled(self) -> None:
        """Have the source's program end the stream as cancelled, and give both ends a second."""
        if not self._sides:
            return
        process = self._sides[0].process
        self._write(process.stdin.fileno(), json.dumps(far.CANCEL).encode("ascii") + b"\n")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)

    def _messages(self, side: Side) -> Iterator[Dict[str, Any]]:
        for message in super()._messages(side):
            if "gone" in message:
                raise self._gone(side, **message["gone"])
            if "elsewhere" in message:
                raise NoWayError(
                    "what %s reaches as %s is another host; set tm_direct_address" % self._names
                )
            yield message

    def _gone(self, side: Side, begun: bool, code: int) -> TmError:
        """Return why ssh ended between the hosts."""
        words = side.last_words()
        reason = words[-1].rstrip(". ") if words else "ssh ended with code %d" % code
        if not begun:
            return NoWayError("%s cannot reach %s: %s" % (*self._names, reason), words)
        lost = "the connection from %s to %s was lost %s" % (*self._names, self._when())
        return TmError("%s: %s" % (lost, reason), words)
