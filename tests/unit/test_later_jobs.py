"""A job for a worker that has stayed behind another: carried out once, by it or by a new one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.support.processes import wait_until
from tm_ansible.engine.holdings import Holdings
from tm_ansible.engine.job import Begun, Declined, Job, Line, Message, Outcome, PlaybookRun
from tm_ansible.engine.process import ProcessRun, _Order
from tm_ansible.engine.standing import Standing
from tm_ansible.engine.workers import Worker

FAILED = Outcome(reason="CLONE fe: no such file: /a")
Start = Callable[..., Worker]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Give a job of one action."""
    return Job(
        vm_id=7,
        actions=(PlaybookRun(labels=("CLONE fe",), playbook="/none.yml", variables={}),),
        environment={"TMPDIR": str(tmp_path)},
        collections="/none",
        marker=f"later.{os.getpid()}.1",
    )


@pytest.fixture
def start(job: Job) -> Start:
    """Give what starts a worker that says something, and then exits or waits for its end."""

    def start(*messages: Message, exits: bool = False) -> Worker:
        said = b"".join(msgspec.json.encode(message) + b"\n" for message in messages)
        waiting = "" if exits else "; sys.stdin.read()"
        process = subprocess.Popen(
            [sys.executable, "-c", f"import os, sys; os.write(1, {said!r}){waiting}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        worker = Worker(process, Holdings(job.marker, job.environment), jobs=2)
        if exits:
            wait_until(lambda: os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT))
        return worker

    return start


def carry_out(
    job: Job, worker: Worker, renewed: list[Worker], standing: Standing | None = None
) -> tuple[Outcome, list[str]]:
    """Give a job to a worker, and others in turn if it does not take it."""
    lines: list[Line] = []

    def renew() -> Worker:
        new = renewed.pop(0)
        new.jobs = 1
        return new

    order = _Order(job, msgspec.json.encode(job) + b"\n", renew, standing)
    outcome = ProcessRun(order, lines.append, worker).wait()
    return outcome, [line.text for line in lines]


def test_what_was_begun_is_not_done_again(job: Job, start: Start) -> None:
    """A worker that has exited before anybody read what it said has carried the job out."""
    line = Line("I", "CLONE fe: looking")
    worker = start(Begun("CLONE fe"), line, FAILED, exits=True)
    assert carry_out(job, worker, []) == (FAILED, ["CLONE fe: looking"])


@pytest.mark.parametrize("said", [[Declined()], []], ids=["declined", "died"])
def test_what_was_not_begun_is_for_another(job: Job, start: Start, said: list[Message]) -> None:
    """A worker that declines, or dies before it begins, has its job done by a new one."""
    worker = start(*said, exits=not said)
    new = start(Begun("CLONE fe"), FAILED, exits=True)
    renewed = [new]
    assert carry_out(job, worker, renewed) == (FAILED, [])
    assert not renewed
    assert worker.process.returncode is not None


def test_a_worker_that_died_does_not_stay(job: Job, start: Start) -> None:
    """A worker that has done the job and died is none for the next one; the job is done."""
    worker = start(Begun("CLONE fe"), Outcome(stays=True), exits=True)
    worker.kind = b"kind"
    standing = Standing(60)
    assert standing.take(b"kind") is None
    outcome, _ = carry_out(job, worker, [], standing)
    assert outcome.reason is None
    wait_until(lambda: not standing._live)
    assert not standing._idle


def test_death_behind_the_begin_is_a_failure(job: Job, start: Start) -> None:
    """A worker that dies once an action has begun fails that action."""
    outcome, _ = carry_out(job, start(Begun("CLONE fe"), exits=True), [])
    assert outcome.reason is not None
    assert outcome.reason.startswith("CLONE fe: the worker process ended")


def test_nothing_is_left(job: Job, start: Start, tmp_path: Path) -> None:
    """Neither a directory nor a descriptor stays of workers that declined."""

    def decline() -> None:
        carry_out(job, start(Declined()), [start(Begun("CLONE fe"), FAILED, exits=True)])

    decline()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number is all that counts
    for _ in range(5):
        decline()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not list(tmp_path.iterdir())
