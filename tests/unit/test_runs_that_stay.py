"""Workers that stay find their jobs, and jobs that wait get a worker before long."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.processes import wait_until
from tm_ansible.engine import standing as module
from tm_ansible.engine.job import Job, PlaybookRun
from tm_ansible.engine.standing import Standing, kind_of
from tm_ansible.engine.workers import Worker

KIND = b"kind"


def worker(kind: bytes = KIND) -> Worker:
    """Give a worker without a process: none is started or asked here."""
    nothing = cast("Any", SimpleNamespace())
    return Worker(nothing, nothing, kind)


def later(do: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Do something in a thread, and give what it will have given."""
    given: list[object] = []
    thread = threading.Thread(target=lambda: given.append(do()))
    thread.start()
    return thread, given


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> Standing:
    """Give one on a machine with a single processor, where workers wait for long."""
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _pid: {0})
    return Standing(60)


def test_a_job_gets_the_worker_that_waits(standing: Standing) -> None:
    """The first job has to start one; the next gets it, and no other kind does."""
    assert standing.take(KIND) is None
    own = worker()
    thread, stayed = later(lambda: standing.stay(own))
    wait_until(lambda: standing._idle)
    assert standing.take(b"other") is None
    assert standing.take(KIND) is own
    thread.join(5)
    assert stayed == [True]
    assert own.jobs == 2


def test_a_job_waits_for_a_worker_that_is_busy(standing: Standing) -> None:
    """It gets the worker when that has done its work, and starts none."""
    assert standing.take(KIND) is None
    thread, given = later(lambda: standing.take(KIND))
    wait_until(lambda: standing._jobs[KIND])
    own = worker()
    assert standing.stay(own)
    thread.join(5)
    assert given == [own]


def test_a_job_does_not_wait_for_long(standing: Standing) -> None:
    """If no worker takes a job for a while, the one that waits has one started."""
    assert standing.take(KIND) is None
    began = time.monotonic()
    assert standing.take(KIND) is None
    assert time.monotonic() - began >= module._STILL_SECONDS
    assert not standing._jobs[KIND]


def test_jobs_are_served_in_order(standing: Standing) -> None:
    """Whoever waits longest is next."""
    assert standing.take(KIND) is None
    waiting = []
    for number in range(3):
        waiting.append(later(lambda: standing.take(KIND)))
        wait_until(lambda wanted=number + 1: len(standing._jobs[KIND]) == wanted)
    own = worker()
    for thread, given in waiting:
        assert standing.stay(own)
        thread.join(5)
        assert given == [own]


def test_the_end_of_a_worker_makes_room(standing: Standing) -> None:
    """A job that waits for a worker that ends has one started at once."""
    assert standing.take(KIND) is None
    thread, given = later(lambda: standing.take(KIND))
    wait_until(lambda: standing._jobs[KIND])
    standing.ended(KIND)
    thread.join(5)
    assert given == [None]
    standing.ended(KIND)
    assert not standing._live


def test_nobody_waits_for_ever() -> None:
    """A worker that nobody wants for as long as the setting says is to be ended."""
    standing = Standing(0.1)
    assert not standing.stay(worker())
    assert not standing._idle


def test_a_worker_that_is_old_is_to_be_ended(standing: Standing) -> None:
    """Behind so many jobs, or so much time, it takes no more."""
    used, old = worker(), worker()
    used.jobs = module._MOST_JOBS
    old.began -= module._MOST_SECONDS + 1
    assert not standing.stay(used)
    assert not standing.stay(old)


def test_a_worker_waits_no_longer_than_it_is_of_use(standing: Standing) -> None:
    """One that is about to be old is to be ended when it is."""
    old = worker()
    old.began -= module._MOST_SECONDS - 0.1
    assert not standing.stay(old)
    assert not standing._idle


def test_few_wait(standing: Standing) -> None:
    """Of many that wait the oldest are to be ended."""
    threads = []
    for number in range(module._MOST_IDLE + 2):
        threads.append(later(lambda name=b"%d" % number: standing.stay(worker(name))))
        most = min(number + 1, module._MOST_IDLE)
        last = b"%d" % number
        wait_until(
            lambda count=most, last=last: (
                len(standing._idle) == count and standing._idle[-1].worker.kind == last
            )
        )
    for thread, stayed in threads[:2]:
        thread.join(5)
        assert stayed == [False]
    standing.close(0)
    for thread, _ in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_the_end(standing: Standing) -> None:
    """Behind ``close`` all that wait are to be ended, and none waits any more."""
    assert standing.take(KIND) is None
    own = worker()
    thread, stayed = later(lambda: standing.stay(own))
    wait_until(lambda: standing._idle)
    ending, _ = later(lambda: standing.close(5))
    thread.join(5)
    assert stayed == [False]
    assert ending.is_alive()
    standing.ended(KIND)
    ending.join(5)
    assert not ending.is_alive()
    assert not standing.stay(worker())


def joined(**values: Any) -> Job:
    """Give a job of several actions as one task."""
    variables = {"tm_vm_id": 7, "tm_host": "localhost", "tm_actions": [], **values}
    action = PlaybookRun(labels=("LN fe",), playbook="/nfs/actions.yml", variables=variables)
    return Job(vm_id=variables["tm_vm_id"], actions=(action,), collections="/none", marker="t.1")


def test_kinds() -> None:
    """VM and actions do not matter; host, playbook and the site's options do."""
    first = joined()
    assert kind_of(first) == kind_of(joined(tm_vm_id=8, tm_actions=[{"action": "ln"}])) is not None
    assert kind_of(first) != kind_of(joined(tm_host="node1"))


def test_what_is_of_no_kind() -> None:
    """Several playbooks, a playbook of one action, or too many words are a run's alone."""
    several = joined().actions * 2
    alone = PlaybookRun(labels=("LN fe",), playbook="/site/ln.yml", variables={"tm_host": "fe"})
    for actions in (several, (alone,)):
        job = Job(vm_id=7, actions=actions, collections="/none", marker="t.1")
        assert kind_of(job) is None
    assert kind_of(joined(tm_actions=["x" * module._MOST_BYTES])) is None
