"""The real engine: jobs in worker processes, whose death is an outcome like another."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from tm_ansible.engine import cgroup, workers
from tm_ansible.engine.conversation import Conversation
from tm_ansible.engine.holdings import temporary_root
from tm_ansible.engine.job import Job, News, Outcome, Site
from tm_ansible.engine.standing import Standing, kind_of
from tm_ansible.engine.warm.client import WarmWorkers
from tm_ansible.engine.workers import Kind, Worker
from tm_ansible.errors import EngineError

_log = logging.getLogger(__name__)
_WORKER = "tm_ansible.engine.worker"
# Longest time for the end of runs that wait for a job when the driver ends.
_CLOSE_SECONDS = 0.5


class ProcessEngine:
    """Gives each job to a worker process: a new one, or one that has stayed behind another job."""

    def __init__(self, worker: str = _WORKER) -> None:
        """Choose what is run.

        Args:
            worker: the module whose main program is the worker.
        """
        self._worker = worker
        self._warm: WarmWorkers | None = None
        self._standing: Standing | None = None

    def warm_up(self, site: Site) -> None:
        """Begin to load Ansible, so that jobs of a site will not have to.

        Args:
            site: what its jobs have in common; others start cold.
        """
        self._warm = WarmWorkers(site, temporary_root(site.environment))
        self._standing = Standing(site.session_seconds) if site.session_seconds else None

    def close(self) -> None:
        """End what waits for jobs."""
        if self._standing:
            self._standing.close(_CLOSE_SECONDS)
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
        standing = self._standing
        try:
            kind = kind_of(job) if standing else None
            job = msgspec.structs.replace(job, stays=kind is not None)
            encoded = msgspec.json.encode(job) + b"\n"
        except UnicodeEncodeError as error:
            raise EngineError(f"a path or setting is not UTF-8: {error}") from error

        renew = partial(workers.start, self._worker, job, self._warm, kind)
        worker = standing.take(kind) if standing and kind else None
        try:
            order = _Order(job, encoded, renew, standing)
            return ProcessRun(order, listener, worker or renew())
        except BaseException:
            if standing and kind:
                standing.ended(kind)
            raise


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be done, and with what.

    Attributes:
        job: what to do.
        encoded: the same, as a line for the process.
        renew: starts a worker, for when one that has stayed does not take the job.
        standing: where a worker stays behind the job, if it does.
    """

    job: Job
    encoded: bytes
    renew: Callable[[], Worker]
    standing: Standing | None


class ProcessRun:
    """A job in a worker process, looked after by a thread."""

    def __init__(self, order: _Order, listener: Callable[[News], None], worker: Worker) -> None:
        """Start the thread.

        Args:
            order: what the process is to do.
            listener: called with each line.
            worker: is to do it.

        Raises:
            EngineError: no descriptor is left, or the system allows no thread.
        """
        labels = order.job.labels
        self._order = order
        self._listener = listener
        self._worker = worker
        self._label = labels[0] if labels else "transfer"
        self._outcome = Outcome(reason=f"{self._label}: internal error, see the driver's log")
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._wake: int | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(_abandon, worker)
            try:
                self._wake = os.eventfd(0, os.EFD_CLOEXEC)
                undo.callback(os.close, self._wake)
                threading.Thread(target=self._look_after, name="run", daemon=True).start()
            except (OSError, RuntimeError) as error:
                raise EngineError(f"cannot start a worker process: {error}") from error
            undo.pop_all()

    def wait(self) -> Outcome:
        """Block until the job has ended; never raises.

        Every process of the run is gone then, unless the job succeeded and the run stays.
        """
        self._ended.wait()
        return self._outcome

    def cancel(self) -> None:
        """Ask the run to end; returns at once and may be called twice. ``wait`` tells when."""
        with self._lock:
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)

    def _look_after(self) -> None:
        stays = False
        try:
            stays = self._carry_out()
        except EngineError as error:
            self._outcome = Outcome(reason=f"{self._label}: {error}")
        except Exception as error:
            _log.exception("%s: the driver made an error", self._label)
            self._outcome = Outcome(reason=f"{self._label}: cannot look after the run: {error}")
            self._worker.end(self._label)
        finally:
            self._close_wake()
            if not stays:
                self._worker.let_go()
            self._ended.set()
            if self._order.standing and self._worker.kind:
                self._stay_or_end(self._order.standing, self._worker.kind, stays=stays)

    def _carry_out(self) -> bool:
        """Have the job done; return whether the worker stays, and else end it."""
        conversation = self._converse(is_first=self._worker.jobs == 1)
        if not self._end_unless_stays(conversation):
            # The site has changed, or the worker has died meanwhile: nothing was begun.
            self._worker.let_go()
            self._worker = self._order.renew()
            conversation = self._converse(is_first=True)
            self._end_unless_stays(conversation)
        self._outcome = self._conclude(conversation)
        return conversation.stays

    def _end_unless_stays(self, conversation: Conversation) -> bool:
        """End the worker, unless it stays; return whether it has taken the job."""
        if not conversation.stays:
            self._worker.end(self._label)
            conversation.read_rest()
            self._label = conversation.label or self._label
        return conversation.taken or conversation.cancelled

    def _converse(self, *, is_first: bool) -> Conversation:
        assert self._wake is not None  # noqa: S101 - for the type checker
        conversation = Conversation(
            self._worker.process, self._order.encoded, self._wake, self._listener, is_first=is_first
        )
        conversation.run()
        self._label = conversation.label or self._label
        return conversation

    def _stay_or_end(self, standing: Standing, kind: Kind, *, stays: bool) -> None:
        if stays and standing.stay(self._worker):
            return
        if stays:
            self._worker.end(self._label)
            self._worker.let_go()
        standing.ended(kind)

    def _close_wake(self) -> None:
        """Close what asks the run to end: the job is over."""
        with self._lock:
            if self._wake is not None:
                os.close(self._wake)
            self._wake = None

    def _conclude(self, conversation: Conversation) -> Outcome:
        """Tell how the job ended, whether or not the worker could."""
        if conversation.outcome:
            return conversation.outcome
        if conversation.cancelled:
            return Outcome(reason=f"{self._label}: cancelled", cancelled=True)
        complaints = tuple(conversation.complaints)
        cause = self._worker.told_end()
        return Outcome(reason=f"{self._label}: the worker process {cause}", detail=complaints)


def _abandon(worker: Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    workers.abandon_streams(worker.process)
    worker.own.end()
    worker.own.remove()
