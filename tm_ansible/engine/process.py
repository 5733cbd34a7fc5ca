"""The real engine: each job in a worker process, whose death is an outcome like another."""

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from tm_ansible.engine import cgroup, marked
from tm_ansible.engine.causes import ending
from tm_ansible.engine.child import Child
from tm_ansible.engine.conversation import Conversation
from tm_ansible.engine.holdings import Holdings, temporary_root
from tm_ansible.engine.job import Job, Line, News, Outcome, Site
from tm_ansible.engine.warm.client import WarmWorkers
from tm_ansible.errors import EngineError

_log = logging.getLogger(__name__)
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_WORKER = "tm_ansible.engine.worker"


class ProcessEngine:
    """Starts a worker process for each job."""

    def __init__(self, worker: str = _WORKER) -> None:
        """Choose what is run.

        Args:
            worker: the module whose main program is the worker.
        """
        self._worker = worker
        self._warm: WarmWorkers | None = None

    def warm_up(self, site: Site) -> None:
        """Begin to load Ansible, so that jobs of a site will not have to.

        Args:
            site: what its jobs have in common; others start cold.
        """
        self._warm = WarmWorkers(site, temporary_root(site.environment))

    def close(self) -> None:
        """End what waits for jobs."""
        if self._warm:
            self._warm.close()
            cgroup.remove_empty(self._warm.marker)

    def start(self, job: Job, listener: Callable[[News], None]) -> "ProcessRun":
        """Start a job.

        Args:
            job: what to do; its marker is this run's alone.
            listener: called from another thread with each line as it happens.

        Returns:
            The run under way.

        Raises:
            EngineError: the worker process could not be started.
        """
        try:
            encoded = msgspec.json.encode(job) + b"\n"
        except UnicodeEncodeError as error:
            raise EngineError(f"a path or setting is not UTF-8: {error}") from error
        lent = self._warm.marker if self._warm else ""
        own = Holdings(job.marker, job.environment, lent)
        try:
            warm = self._warm.start(job, own.directory) if self._warm else None
            if warm:
                own.group = warm.group
            process = warm or _spawn(self._worker, job, own)
            return ProcessRun(job, encoded, listener, process, own)
        except Exception as error:
            own.end()
            own.remove()
            if not isinstance(error, OSError | RuntimeError):
                raise
            raise EngineError(f"cannot start a worker process: {error}") from error


class ProcessRun:
    """A worker process under way, looked after by a thread."""

    def __init__(
        self,
        job: Job,
        encoded: bytes,
        listener: Callable[[News], None],
        process: Child,
        own: Holdings,
    ) -> None:
        """Start the thread.

        Args:
            job: what the process is to do.
            encoded: the job as a line for the process.
            listener: called with each line.
            process: just started.
            own: what is the run's alone; ended and removed at the end.

        Raises:
            OSError: no descriptor is left.
            RuntimeError: the system allows no thread.
        """
        self._job = job
        self._encoded = encoded
        self._listener = listener
        self._process = process
        self._own = own
        self._label = job.labels[0] if job.actions else "transfer"
        self._labels = set(job.labels)
        self._outcome = Outcome(reason=f"{self._label}: internal error, see the driver's log")
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._wake: int | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(_abandon, process)
            self._wake = os.eventfd(0, os.EFD_CLOEXEC)
            undo.callback(os.close, self._wake)
            threading.Thread(target=self._look_after, name="run", daemon=True).start()
            undo.pop_all()

    def wait(self) -> Outcome:
        """Block until the run has ended and every process of it is gone; never raises."""
        self._ended.wait()
        return self._outcome

    def cancel(self) -> None:
        """Ask the run to end; returns at once and may be called twice. ``wait`` tells when."""
        with self._lock:
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)

    def _look_after(self) -> None:
        assert self._wake is not None  # noqa: S101 - for the type checker
        try:
            conversation = Conversation(self._process, self._encoded, self._wake, self._hear)
            conversation.run()
            self._end_processes()
            conversation.read_rest()
            self._outcome = self._conclude(conversation)
        except Exception as error:
            _log.exception("%s: the driver made an error", self._label)
            self._outcome = Outcome(reason=f"{self._label}: cannot look after the run: {error}")
            self._end_processes()
        finally:
            with contextlib.suppress(OSError):
                self._let_go()
            self._ended.set()

    def _hear(self, news: News) -> None:
        """Pass on what the run tells, and note of which action it is."""
        label = news.text.partition(": ")[0] if isinstance(news, Line) else news.label
        if label in self._labels:
            self._label = label
        self._listener(news)

    def _end_processes(self) -> None:
        """End all that the run has started."""
        self._close_request()
        left = self._own.end()
        if left != []:
            _log.error("%s: processes that do not end: %s", self._label, left or "unknown")
        if self._process.pid not in (left or []):
            self._process.kill()
            self._process.wait()

    def _close_request(self) -> None:
        """Close what asks the run to end: it is over, or must be."""
        with self._lock:
            if self._wake is not None:
                os.close(self._wake)
            self._wake = None
        _close(self._process.stdin)

    def _let_go(self) -> None:
        self._close_request()
        _close(self._process.stdout)
        _close(self._process.stderr)
        self._own.remove()

    def _conclude(self, conversation: Conversation) -> Outcome:
        """Tell how the run ended, whether or not the worker could."""
        if conversation.outcome:
            return conversation.outcome
        if conversation.cancelled:
            return Outcome(reason=f"{self._label}: cancelled", cancelled=True)
        complaints = tuple(conversation.complaints)
        cause = _end(self._process.returncode)
        return Outcome(reason=f"{self._label}: the worker process {cause}", detail=complaints)


def _spawn(worker: str, job: Job, own: Holdings) -> "subprocess.Popen[bytes]":
    """Start the worker where it finds this very package, whatever its environment says."""
    places = {marked.VARIABLE: job.marker, "TMPDIR": str(own.directory)}
    process = subprocess.Popen(
        [sys.executable, "-m", worker],
        cwd=_PACKAGE_PARENT,
        env={**job.environment, **places},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    own.hold(process.pid)
    return process


def _close(stream: IO[bytes] | None) -> None:
    if stream:
        with contextlib.suppress(OSError):
            stream.close()


def _abandon(process: Child) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        _close(stream)


def _end(status: int | None) -> str:
    if status is None:
        return "ended, nobody knows how"
    return f"{ending(status)} and told no outcome" if status >= 0 else ending(status)
