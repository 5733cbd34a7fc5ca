"""Two programs joined by a pipe: starts them, passes messages between them, proves their end."""

import fcntl
import json
import os
import subprocess
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.sizes import human
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far
from ansible_collections.one.tm.plugins.plugin_utils.lines import Lines, Silence
from ansible_collections.one.tm.plugins.plugin_utils.side import Side

__metaclass__ = type

F_SETPIPE_SZ = 1031
PIPE_BYTES = 1 << 20


class Part(NamedTuple):
    """What one side does.

    Attributes:
        host: where.
        program: what its interpreter reads first.
    """

    host: Far
    program: bytes


class Relay:
    """A transfer under way."""

    def __init__(self, progress: Callable[..., None], silence: float) -> None:
        """Prepare.

        Args:
            progress: called as ``Progress.update``.
            silence: seconds without any message from the receiver after which it is given up.
        """
        self._progress = progress
        self._silence = silence
        self._received = 0
        self._is_sending = False
        self._sides: List[Side] = []

    def run(self, sender: Part, receiver: Part) -> Dict[str, Any]:
        """Run both programs and return the receiver's result.

        Args:
            sender: the sending side.
            receiver: the receiving side.

        Raises:
            TmError: either side failed; nothing of the programs is left.
        """
        try:
            self._start(sender, receiver)
            return self._listen()
        finally:
            for side in self._sides:
                side.end()

    def _start(self, sender: Part, receiver: Part) -> None:
        reading, writing = os.pipe()
        try:
            _enlarge(writing)
            # Before the sender is there: what its login script says comes behind it.
            frames.write_all(writing, receiver.program)
            self._sides.append(Side(receiver.host, reading, subprocess.PIPE))
            self._sides.append(Side(sender.host, subprocess.PIPE, writing))
        finally:
            os.close(reading)
            os.close(writing)
        self._to_sender(sender.program)

    def _to_sender(self, data: bytes) -> None:
        try:
            frames.write_all(self._sides[1].process.stdin.fileno(), data)
        except BrokenPipeError:
            pass  # the receiver will notice and tell

    def _listen(self) -> Dict[str, Any]:
        receiver = self._sides[0]
        for message in self._messages(receiver):
            if "answer" in message:
                self._is_sending = True
                self._to_sender(json.dumps(message["answer"]).encode("ascii") + b"\n")
            elif "progress" in message:
                self._received = message["progress"]["bytes"]
                self._progress(**message["progress"])
            elif "result" in message:
                return message["result"]
            elif "error" in message:
                raise self._error(message["error"])
        raise receiver.lost(self._when())

    def _error(self, error: Dict[str, Any]) -> TmError:
        side = self._sides[1 if error["side"] == "source" else 0]
        if error["lost"]:
            self._received = error["bytes"]
            return side.lost(self._when())
        return TmError("%s on %s" % (error["message"], side.host.name), error["detail"])

    def _when(self) -> str:
        """Say how far the transfer had come."""
        if self._received:
            return "after %s" % human(self._received)
        return "in mid-copy" if self._is_sending else "before anything was copied"

    def _messages(self, side: Side) -> Iterator[Dict[str, Any]]:
        """Yield the messages of a side until it ends."""
        try:
            lines = Lines(side.process.stdout.fileno(), self._silence)
            lines.skip_noise()
            for line in lines:
                yield json.loads(line.decode("ascii"))
        except frames.StreamEndError:
            return
        except Silence:
            raise TmError(
                "nothing came from %s for %d seconds after %s; the transfer was given up"
                % (side.host.name, self._silence, human(self._received))
            ) from None


def _enlarge(pipe: int) -> None:
    """Let a pipe hold more, for fewer switches; it works without."""
    try:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass
