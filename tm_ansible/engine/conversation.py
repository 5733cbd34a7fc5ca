"""What the driver and one worker process say to each other of one job."""

import contextlib
import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import IO, cast

import msgspec

from tm_ansible.engine.child import Child, end_of
from tm_ansible.engine.job import Begun, Declined, Line, Message, News, Outcome, Severity
from tm_ansible.lines import LineSplitter

_log = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(Message)

# Seconds from the request to end until the worker is killed: it has its own to end first.
_GRACE = 2.0
# Seconds that a worker may take to exit once it has told the outcome.
_FAREWELL = 5.0
# Seconds until a run that has stayed begins with the next job: it compares files first.
_TAKING = 10.0
_MESSAGE_BYTES = 1024 * 1024
_COMPLAINT_BYTES = 4096
_CHUNK = 65536
# A pipe holds at most this many chunks, however long somebody goes on writing.
_LAST_CHUNKS = 16


class Conversation:
    """Writes the job, reads messages and complaints, and ends when the process has, or stays.

    Attributes:
        outcome: what the worker has told, if it has.
        label: of the action that began last; ``""`` before the first.
        taken: whether it has the job; of a run that has stayed nobody knows before it begins.
        cancelled: whether it was asked to end.
        complaints: the last lines of its stderr.
    """

    def __init__(
        self,
        process: Child,
        job: bytes,
        wake: int,
        listener: Callable[[News], None],
        *,
        is_first: bool = True,
    ) -> None:
        """Prepare; nothing is said yet.

        Args:
            process: with pipes as stdin, stdout and stderr.
            job: what to write first.
            wake: an eventfd that asks for the end.
            listener: called with each line, from the thread that calls ``run``.
            is_first: whether it is the first job of the process.
        """
        streams = (process.stdin, process.stdout, process.stderr)
        self._stdin, stdout, stderr = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", streams)
        self.outcome: Outcome | None = None
        self.label = ""
        self._has_exited = False
        self.taken = is_first
        self.cancelled = False
        self.complaints: deque[str] = deque(maxlen=20)
        self._process = process
        self._input = memoryview(job)
        self._wake = wake
        self._listener = listener
        self._deadline: float | None = None
        if not is_first:
            self._end_within(_TAKING)
        self._messages = LineSplitter(_MESSAGE_BYTES)
        self._complaint_lines = LineSplitter(_COMPLAINT_BYTES)
        self._stdout, self._stderr = stdout.fileno(), stderr.fileno()

    @property
    def stays(self) -> bool:
        """Tell whether the job is done and the process waits for the next."""
        told = bool(self.outcome and self.outcome.stays)
        return told and not self.cancelled and not self._has_exited

    def run(self) -> None:
        """Talk until the process has exited, or stays."""
        exited = end_of(self._process)
        try:
            self._serve(exited)
        finally:
            os.close(exited)

    def read_rest(self) -> None:
        """Read what is left in the pipes of a process that has exited."""
        for read in (self._read_message, self._read_complaint):
            for _ in range(_LAST_CHUNKS):
                if not read():
                    break

    def _serve(self, exited: int) -> None:
        poll = select.poll()
        steps: dict[int, Callable[[], bool]] = {
            self._stdout: self._read_message,
            self._stderr: self._read_complaint,
            self._wake: self._ask_to_end,
            self._stdin.fileno(): self._write_job,
        }
        for descriptor in steps:
            os.set_blocking(descriptor, False)
            poll.register(descriptor, select.POLLIN)
        poll.modify(self._stdin.fileno(), select.POLLOUT)
        poll.register(exited, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll(self._patience())]
            if exited in ready:
                self._has_exited = True
                return
            for descriptor in ready:
                if not steps[descriptor]():
                    with contextlib.suppress(KeyError):
                        poll.unregister(descriptor)
            if self.stays:
                return
            # Behind what was there to be read: this process may have been the one that was slow.
            self._keep_deadline()

    def _patience(self) -> float | None:
        """Milliseconds until the deadline; None for no limit."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic()) * 1000 + 1

    def _keep_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._process.kill()
            self._deadline = None

    def _end_within(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline

    def _write_job(self) -> bool:
        """Write some of the job; tell whether there is more. The pipe stays open behind it."""
        try:
            self._input = self._input[os.write(self._stdin.fileno(), self._input) :]
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            return False
        return bool(self._input)

    def _ask_to_end(self) -> bool:
        self.cancelled = True
        self._stdin.close()
        self._end_within(_GRACE)
        return False

    def _read_message(self) -> bool:
        chunk = _read(self._stdout)
        for line in self._messages.feed(chunk or b""):
            self._take(line)
        if self._messages.dropped:
            self._messages.dropped = 0
            text = f"a message of more than {_MESSAGE_BYTES} bytes was dropped"
            self._listener(Line(severity=Severity.WARNING, text=text))
        if chunk == b"":
            self._end_within(_FAREWELL)
        return bool(chunk) or chunk is None

    def _take(self, line: bytes) -> None:
        try:
            message = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            _log.debug("the worker wrote no message: %r", line[:200])
            return
        if isinstance(message, Outcome):
            self.outcome = message
            self._end_within(_FAREWELL)
        elif isinstance(message, Declined):
            self._stdin.close()
            self._end_within(_GRACE)
        elif isinstance(message, Begun):
            self._begin(message)
        else:
            self._listener(message)

    def _begin(self, message: Begun) -> None:
        if not self.taken and not self.cancelled:
            self._deadline = None
        self.taken = True
        self.label = message.label

    def _read_complaint(self) -> bool:
        chunk = _read(self._stderr)
        for line in self._complaint_lines.feed(chunk or b""):
            text = line.decode("utf-8", "backslashreplace").rstrip()
            self.complaints.append(text)
            _log.debug("worker %d: %s", self._process.pid, text)
        return bool(chunk) or chunk is None


def _read(descriptor: int) -> bytes | None:
    """Read a chunk; empty at the end of the stream, None when there is nothing yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
