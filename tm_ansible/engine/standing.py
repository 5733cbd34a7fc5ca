"""Runs that stay behind a job for the next one like it: most of a run's time goes to its beginning.

A run carries out one job at a time. Where as many runs of a kind as there are processors have work,
the next job waits for one of them as long as they go on taking jobs: one more would only take their
time. Else it gets a run of its own.
"""

import hashlib
import os
import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

import msgspec

from tm_ansible.engine import inputs
from tm_ansible.engine.job import Job
from tm_ansible.engine.workers import Kind, Worker

# Seconds in which no run of the kind has taken a job: then one more has its use.
_STILL_SECONDS = 0.2
# Longest time that a job waits for a run, in seconds.
_MOST_WAIT_SECONDS = 1.0
# What a run has read of variables and connections holds for so long at most, in seconds.
_MOST_SECONDS = 60.0
_MOST_JOBS = 200
# How many may wait for a job at a time.
_MOST_IDLE = 4
# A message on a socket holds no more.
_MOST_BYTES = 64 << 10


def kind_of(job: Job) -> Kind | None:
    """Tell which jobs a run could carry out behind this one: those of the same kind.

    Args:
        job: to be carried out.

    Returns:
        None if its run takes no other: it has playbooks of the site, or more than one, or what
        its inventories say cannot be compared.
    """
    if len(job.actions) != 1 or "tm_actions" not in job.actions[0].variables:
        return None
    action = job.actions[0]
    if len(msgspec.json.encode(action.variables)) > _MOST_BYTES:
        return None
    if not inputs.are_files(job.options):
        return None
    like = msgspec.structs.replace(job, vm_id=-1, actions=(), copies=(), marker="")
    place = (action.playbook, action.variables["tm_host"])
    return hashlib.sha256(msgspec.json.encode((like, place))).digest()


@dataclass(slots=True, eq=False)
class _Waiting:
    """A worker that waits for a job, or a job that waits for a worker.

    Attributes:
        worker: the one, or the other's to be.
        since: when it began to wait.
        served: whether they have found each other.
        called: set when there is nothing more to wait for.
    """

    worker: Worker | None = None
    served: bool = False
    since: float = field(default_factory=time.monotonic)
    called: threading.Event = field(default_factory=threading.Event)


class Standing:
    """The runs that stay, and the jobs that wait for one."""

    def __init__(self, seconds: float) -> None:
        """Begin with none.

        Args:
            seconds: how long a run waits for a job.
        """
        self._seconds = seconds
        self._least = len(os.sched_getaffinity(0))
        self._changed = threading.Condition()
        self._live: Counter[Kind] = Counter()
        self._idle: list[_Waiting] = []
        self._jobs: defaultdict[Kind, deque[_Waiting]] = defaultdict(deque)
        self._moved: dict[Kind, float] = {}
        self._is_closed = False

    def take(self, kind: Kind) -> Worker | None:
        """Take a worker that waits, or wait for one.

        Args:
            kind: of the job.

        Returns:
            None if one is to be started: it counts from now on, until ``ended``.
        """
        with self._changed:
            for idle in reversed(self._idle):
                if idle.worker and idle.worker.kind == kind:
                    self._idle.remove(idle)
                    return _match(idle, idle.worker)
            if self._live[kind] < self._least:
                self._live[kind] += 1
                return None
            job = _Waiting()
            self._jobs[kind].append(job)
        return self._wait(kind, job)

    def stay(self, worker: Worker) -> bool:
        """Have a worker wait for a job of its kind.

        Args:
            worker: that has nothing to do.

        Returns:
            Whether a job has it now; else it is to be ended.
        """
        idle = _Waiting(worker)
        with self._changed:
            if not worker.kind or self._is_closed or _is_old(worker):
                return False
            if jobs := self._jobs[worker.kind]:
                self._moved[worker.kind] = time.monotonic()
                _match(jobs.popleft(), worker)
                return True
            if len(self._idle) >= _MOST_IDLE:
                self._idle.pop(0).called.set()
            self._idle.append(idle)
        idle.called.wait(min(self._seconds, max(0.0, _MOST_SECONDS - _age(worker))))
        with self._changed:
            if idle in self._idle:
                self._idle.remove(idle)
            return idle.served

    def ended(self, kind: Kind) -> None:
        """Count a worker no more; a job that waits for it gets a new one.

        Args:
            kind: of the worker, which has ended, or could not be started.
        """
        with self._changed:
            self._live[kind] -= 1
            if self._jobs[kind]:
                self._live[kind] += 1
                self._jobs[kind].popleft().called.set()
            elif not self._live[kind]:
                del self._live[kind], self._jobs[kind]
                self._moved.pop(kind, None)
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Have all that wait end, and wait for it.

        Args:
            seconds: longest time.
        """
        with self._changed:
            self._is_closed = True
            for idle in self._idle:
                idle.called.set()
            self._idle.clear()
            self._changed.wait_for(lambda: not self._live, seconds)

    def _wait(self, kind: Kind, job: _Waiting) -> Worker | None:
        while True:
            with self._changed:
                if job.called.is_set():
                    return job.worker
                still = max(job.since, self._moved.get(kind, 0.0)) + _STILL_SECONDS
                left = min(still, job.since + _MOST_WAIT_SECONDS) - time.monotonic()
                if left <= 0:
                    self._jobs[kind].remove(job)
                    self._live[kind] += 1
                    return None
            job.called.wait(left)


def _match(waiting: _Waiting, worker: Worker) -> Worker:
    worker.jobs += 1
    waiting.worker, waiting.served = worker, True
    waiting.called.set()
    return worker


def _is_old(worker: Worker) -> bool:
    return worker.jobs >= _MOST_JOBS or _age(worker) > _MOST_SECONDS


def _age(worker: Worker) -> float:
    return time.monotonic() - worker.began
