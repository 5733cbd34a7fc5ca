"""The worker process: a job in on stdin, its log lines and outcome out on stdout.

Started as ``python -m tm_ansible.engine.worker``. Both sides speak JSON lines of the types in
``engine.job``. Stdin stays open while the job is wanted: its closing asks for the end. A run that
stays behind a job that succeeded takes the next one, and ends when stdin closes.
"""

import contextlib
import os
import queue
import sys
import threading
import uuid

import msgspec

from tm_ansible.engine import runner
from tm_ansible.engine.bounds import bounded
from tm_ansible.engine.events import Event, JobEnded
from tm_ansible.engine.job import Declined, Job, Message, Outcome
from tm_ansible.engine.underway import UnderWay
from tm_ansible.engine.watch import Watch
from tm_ansible.errors import EngineError


def main(playbook: runner.Playbook | None = None) -> int:
    """Carry out the job on stdin, and those behind it.

    Args:
        playbook: runs ansible-playbook; None to start a new process.

    Returns:
        The process's exit status: 0 once an outcome was written, good or bad.
    """
    messages = _Messages(_private_stdout())
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    _Worker(job, messages, playbook).carry_out()
    messages.close()
    return 0


class _Worker:
    """One run, and the jobs that it carries out, one at a time."""

    def __init__(self, job: Job, messages: "_Messages", playbook: runner.Playbook | None) -> None:
        self._job = job
        self._messages = messages
        self._playbook = playbook
        self._marker_play = f"tm_ansible {uuid.uuid4().hex}"
        self._token = playbook.stay(job) if playbook and job.stays else ""
        self._lock = threading.Lock()
        self._under_way: UnderWay | None = UnderWay(job, self._marker_play)
        self._is_first, self._is_over = True, False
        self._watch = Watch(job.marker, self)

    def carry_out(self) -> None:
        """Carry out the job, and more as long as the run stays."""
        self._watch.start()
        status, error = None, ""
        try:
            status = runner.run(self._job, self._marker_play, self._hear, self._playbook)
        except EngineError as failure:
            error = str(failure)
        with self._lock:
            self._is_over = True
            under_way, self._under_way = self._under_way, None
        if under_way and (under_way.has_begun or self._is_first):
            for note in under_way.note():
                self._messages.put(note)
            self._messages.put(bounded(self._outcome(under_way, status, error)))
        elif under_way:
            self._messages.put(Declined())

    def _outcome(self, under_way: UnderWay, status: int | None, error: str) -> Outcome:
        if error:
            return under_way.failed(error)
        if self._watch.cause:
            return under_way.failed(self._watch.cause, cancelled=self._watch.cancelled)
        return under_way.outcome(status)

    def _hear(self, event: Event) -> None:
        under_way = self._under_way
        if under_way is None:
            return
        if isinstance(event, JobEnded):
            if self._token and event.token == self._token:
                self._finish(under_way)
            return
        for each in under_way.hear(event):
            self._messages.put(each)

    def _finish(self, under_way: UnderWay) -> None:
        """Tell how a job ended behind which the run stays."""
        outcome = under_way.finished()
        if outcome.reason is not None:
            self.dismiss()  # the end of the run tells
            return
        for each in under_way.note():
            self._messages.put(each)
        self._under_way = None
        self._messages.put(Outcome(stays=True))

    def take(self, line: bytes) -> None:
        """Take the next job, unless the run would do it as things were when it began."""
        job = msgspec.json.decode(line, type=Job)
        playbook = self._playbook if self._token else None
        is_current = playbook is not None and playbook.is_current()
        with self._lock:
            self._is_first = False
            if is_current and not self._is_over and self._under_way is None:
                self._under_way = UnderWay(job, self._marker_play)
        if self._under_way and playbook:
            playbook.go_on(job)
        else:
            self._messages.put(Declined())

    def exceeded(self) -> str | None:
        """Tell which limit is over; None if there is nothing to do."""
        under_way = self._under_way
        return under_way.exceeded() if under_way else None

    def dismiss(self) -> None:
        """Have ansible-playbook end, which has nothing to do."""
        if self._playbook:
            self._playbook.dismiss()

    def leave(self) -> None:
        """Answer for a run of which something does not end: nobody would for ever."""
        if under_way := self._under_way:
            outcome = under_way.failed(self._watch.cause, cancelled=self._watch.cancelled)
            self._messages.put(bounded(outcome))
        self._messages.close()
        os._exit(0)


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
