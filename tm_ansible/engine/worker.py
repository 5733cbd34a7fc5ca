"""The worker process: one job in on stdin, its log lines and outcome out on stdout.

Started as ``python -m tm_ansible.engine.worker``. Both sides speak JSON lines of the types in
``engine.job``. Stdin stays open while the job is wanted: its closing asks for the end.
"""

import contextlib
import os
import queue
import select
import sys
import threading
import time
import uuid
from collections.abc import Callable

import msgspec

from tm_ansible.engine import marked, runner
from tm_ansible.engine.bounds import Bounds, bounded
from tm_ansible.engine.events import Event
from tm_ansible.engine.job import Job, Message, Outcome
from tm_ansible.engine.limits import Limits
from tm_ansible.engine.report import Report
from tm_ansible.errors import EngineError

# Seconds between two looks at the limits.
_WATCH_SECONDS = 0.25


def main(launch: runner.Launch | None = None) -> int:
    """Carry out the job on stdin.

    Args:
        launch: runs ansible-playbook; None to start a new process.

    Returns:
        The process's exit status: 0 once an outcome was written, good or bad.
    """
    messages = _Messages(_private_stdout())
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    _tell(_carry_out(job, messages, launch), messages)
    return 0


def _carry_out(job: Job, messages: "_Messages", launch: runner.Launch | None) -> Outcome:
    marker_play = f"tm_ansible {uuid.uuid4().hex}"
    report = Report(labels=job.labels, marker=marker_play)
    limits = Limits(job.options.action_seconds, job.options.silence_seconds)
    bounds = Bounds()

    def on_event(event: Event) -> None:
        news = report.feed(event)
        for each in bounds.within(len(report.begun), news):
            messages.put(each)
        limits.saw(len(report.begun))

    def leave() -> None:
        """Answer for a run of which something does not end: nobody would for ever."""
        _tell(_ended_by(watch, report), messages)
        os._exit(0)

    watch = _Watch(job.marker, limits, leave)
    watch.start()
    try:
        status = runner.run(job, marker_play, on_event, launch)
    except EngineError as error:
        return Outcome(reason=f"{report.label}: {error}")
    for note in bounds.note():
        messages.put(note)
    return _ended_by(watch, report) if watch.cause else report.outcome(status)


def _ended_by(watch: "_Watch", report: Report) -> Outcome:
    return Outcome(reason=f"{report.label}: {watch.cause}", cancelled=watch.cancelled)


def _tell(outcome: Outcome, messages: "_Messages") -> None:
    messages.put(bounded(outcome))
    messages.close()


class _Watch(threading.Thread):
    """Ends the run when nobody wants it any more, or when it exceeds a limit.

    It signals everything that bears the run's marker, because ansible-runner knows only its own
    child, and Ansible's workers have sessions of their own.
    """

    def __init__(self, marker: str, limits: Limits, leave: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._marker = marker
        self._limits = limits
        self._leave = leave
        self.cause = ""
        self.cancelled = False

    def run(self) -> None:
        while not self.cause:
            if select.select([0], [], [], _WATCH_SECONDS)[0] and not os.read(0, 4096):
                self.cause, self.cancelled = "cancelled", True
            else:
                self.cause = self._limits.exceeded()
        while (left := self._end_all()) is None:
            time.sleep(_WATCH_SECONDS)
        if left:
            self._leave()

    def _end_all(self) -> list[int] | None:
        """End the run, and give what does not end; None if nobody can tell.

        Looking takes descriptors.
        """
        try:
            return marked.end(self._marker)
        except OSError as error:
            sys.stderr.write(f"looking for processes of {self._marker}: {error}\n")
            return None


def _private_stdout() -> int:
    """Keep stdout for messages alone: whatever else prints goes to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return private


class _Messages:
    """Writes messages from a thread of its own, so that a slow reader never holds Ansible up."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Queue a message."""
        self._queue.put(message)

    def close(self) -> None:
        """Return when everything queued is written."""
        self._queue.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(self._descriptor, "wb", 0) as stream:
            while (message := self._queue.get()) is not None:
                stream.write(msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
