"""Two programs joined by a pipe: starts them, passes messages between them, proves their end."""

import contextlib
import json
import os
import subprocess
import threading
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ansible.utils.display import Display
from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.module_utils.commands import printable
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.sizes import human
from ansible_collections.one.tm.plugins.plugin_utils import answers, farside, sessions
from ansible_collections.one.tm.plugins.plugin_utils.cancel import Cancel, Ending
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far
from ansible_collections.one.tm.plugins.plugin_utils.fork import Fork
from ansible_collections.one.tm.plugins.plugin_utils.lines import Lines, Silence
from ansible_collections.one.tm.plugins.plugin_utils.pump import Pump
from ansible_collections.one.tm.plugins.plugin_utils.side import Side, start

__metaclass__ = type

DISPLAY = Display()


class Part(NamedTuple):
    """What one side does.

    Attributes:
        host: where.
        module: of ``module_utils``; its ``main`` is called.
        arguments: of that.
    """

    host: Far
    module: str
    arguments: Tuple[Any, ...]

    @property
    def program(self) -> bytes:
        """Return what its interpreter reads first."""
        return farside.program(self.module, *self.arguments)


class Relay:
    """A transfer under way.

    Attributes:
        on_begin: called when the receiver has asked for data.
    """

    def __init__(
        self,
        progress: Callable[..., None],
        silence: float,
        token: str = "",
        mib_per_second: float = 0,
    ) -> None:
        """Prepare.

        Args:
            progress: called as ``Progress.update``.
            silence: seconds without any message from the receiver after which it is given up.
            token: of the receiver's ``config``, by which it knows that it is cancelled.
            mib_per_second: limit of what passes through here; 0 for none.
        """
        self._progress = progress
        self._silence = silence
        self._token = token
        self._pump = Pump(mib_per_second) if mib_per_second else None
        self._cancel: Optional[Cancel] = None
        self._received = 0
        self._is_sending = False
        self._is_done = False
        self._lock = threading.Lock()
        self._sides: List[Side] = []
        self._session: Optional[sessions.Session] = None
        self._names = ("", "")
        self.on_begin: Callable[[], None] = lambda: None

    def run(self, sender: Part, receiver: Part) -> Dict[str, Any]:
        """Run both programs and return the receiver's result.

        A signal to end cancels the transfer: the receiver keeps nothing for a next run.

        Args:
            sender: the sending side.
            receiver: the receiving side.

        Raises:
            TmError: either side failed; none of the programs runs any more.
        """
        with Ending() as ending:
            try:
                self._start(sender, receiver)
                with ending.interrupting():
                    done = self._listen()
                if self._session:
                    self._keep_session()
                return done
            except Exception:
                raise
            except BaseException:
                self._tell_cancelled()
                raise
            finally:
                self._end()

    def _keep_session(self) -> None:
        """Leave the session for more; the sender alone has nothing left to do."""
        with self._lock:
            self._is_done = True
        del self._sides[0]

    def _end(self) -> None:
        for side in self._sides:
            if self._session and side is self._session.side:
                self._session.end()
            else:
                side.end()
        if self._cancel:
            self._cancel.close()

    def _tell_cancelled(self) -> None:
        """Have the receiver end without leaving anything, once nobody else writes to it."""
        if self._cancel is None or not self._sides:
            return
        with self._cancel.telling(self._sides[0].process):
            for side in self._sides[1:]:
                side.kill()
            if self._session:
                self._session.close()
            if self._pump:
                self._pump.join()

    def _start(self, sender: Part, receiver: Part) -> None:
        self._names = (sender.host.name, receiver.host.name)
        writing = self._start_receiver(receiver)
        try:
            self._cancel = Cancel(writing, self._token)
            if self._pump:
                writing = self._pump.start_into(writing)
            self._start_sender(sender, writing)
        finally:
            os.close(writing)
        if self._session:
            threading.Thread(target=self._watch_sender, daemon=True).start()

    def _start_receiver(self, receiver: Part) -> int:
        """Start the receiving side, and return the writing end of the pipe that it reads.

        Its program is there before the sender is: what a login script says comes behind it.
        """
        if receiver.host.is_ssh:
            self._session = sessions.of(receiver.host)
            self._sides.append(self._session.side)
            self._session.begin(receiver.module, *receiver.arguments)
            return os.dup(self._session.pipe)
        reading, writing = os.pipe()
        try:
            process = start(receiver.host, reading, subprocess.PIPE)
            self._sides.append(Side(receiver.host, process))
        finally:
            os.close(reading)
        frames.enlarge(writing)
        self._write(writing, receiver.program)
        return writing

    def _start_sender(self, sender: Part, writing: int) -> None:
        if sender.host.is_this_user_here:
            process = Fork(writing, sender.module, sender.arguments)
            self._sides.append(Side(sender.host, process))
            return
        process = start(sender.host, subprocess.PIPE, writing)
        self._sides.append(Side(sender.host, process))
        self._to_sender(sender.program)

    def _watch_sender(self) -> None:
        """Let a session's receiver see the end of a stream that broke off."""
        status = self._sides[-1].process.wait()
        with self._lock:
            if status and self._session and not self._is_done:
                self._session.close()

    def _to_sender(self, data: bytes) -> None:
        self._write(self._sides[1].process.stdin.fileno(), data)

    def _write(self, descriptor: int, data: bytes) -> None:
        """Write to a program; if it is gone, the receiver's messages will tell, or their end."""
        with contextlib.suppress(BrokenPipeError):
            frames.write_all(descriptor, data)

    def _listen(self) -> Dict[str, Any]:
        receiver = self._sides[0]
        for message in self._messages(receiver):
            if "answer" in message:
                self._is_sending = True
                self.on_begin()
                self._to_sender(json.dumps(message["answer"]).encode("ascii") + b"\n")
            elif "progress" in message:
                self._received = message["progress"]["bytes"]
                self._progress(**message["progress"])
            elif "log" in message:
                DISPLAY.display("tm_log: " + printable(message["log"]))
            elif "result" in message:
                return answers.received(message["result"], receiver.host.name)
            elif "error" in message:
                raise self._error(message["error"])
        raise receiver.lost(self._when())

    def _error(self, error: Dict[str, Any]) -> TmError:
        is_source = error["side"] == "source"
        if error["lost"]:
            self._received = error["bytes"]
            return self._sides[1 if is_source else 0].lost(self._when())
        name = self._names[0 if is_source else 1]
        return TmError("%s on %s" % (error["message"], name), error["detail"])

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
                yield answers.parse(line, side.host.name)
        except frames.StreamEndError:
            return
        except Silence:
            raise TmError(
                "nothing came from %s for %d seconds after %s; the transfer was given up"
                % (side.host.name, self._silence, human(self._received))
            ) from None
