"""The driver killed at every step: nothing lives on, and its successor answers."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.ground import VERBS, Ground, Task, tokens
from tests.faults.steps import ALL, NOWHERE, Step, Steps, missing_for_steps, numbers
from tests.support.oned import Oned, Reply
from tests.support.processes import wait_until

Make = Callable[..., Ground]
RESTARTED = "the driver was restarted while this transfer ran"

pytestmark = pytest.mark.root


def check_successor(ground: Ground, oned: Oned, task: Task, *, was_begun: bool) -> None:
    """Check what a killed driver leaves, and what the next one makes of it."""
    oned.kill()
    wait_until(lambda: not ground.processes(oned.location), 5)
    replies = oned.replies(task.vm_id)
    owed = is_owed(ground, task.vm_id)
    assert replies or owed or not was_begun, "I1: forgotten"
    with ground.driver(waits=False) as successor:
        if owed:
            assert successor.wait_reply(task.vm_id).reason == RESTARTED
        reply = Reply(ok=False, reason=RESTARTED) if owed else None
        ground.check(successor, task, reply, RESTARTED)
        assert len(tokens(oned.location)) == 1  # the successor's own


def is_owed(ground: Ground, vm_id: int) -> bool:
    """Tell whether a journal says that a VM waits for an answer."""
    texts = [path.read_text() for path in ground.site.location.glob("var/.*.journal")]
    lines = "".join(texts).splitlines()
    return lines.count(f"+{vm_id}") > lines.count(f"-{vm_id}")


class Life:
    """Drivers of one site that are killed, one after the other."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self._vm_id = ground, 0

    def new_task(self, verb: str) -> Task:
        """Give a script for a VM that had none."""
        self._vm_id += 1
        return self.ground.task(verb, self._vm_id)

    def kill_at_step(self, steps: Steps, verb: str, step: Step) -> bool:
        """Kill the driver at a step, and check; tell whether it came so far."""
        with self.ground.driver() as oned:
            task = self.new_task(verb)
            with steps.of([oned.process.pid], step):
                oned.submit(task.vm_id, task.script)
                wait_until(lambda: oned.process.poll() is not None or oned.replies(task.vm_id))
                time.sleep(0.1)  # what comes behind the reply counts too
            has_died = oned.process.poll() is not None
            last = steps.log[-400:]
            print(verb, step, has_died, last)  # noqa: T201 - shown in a failure
            if has_died:
                # Before it has opened the script, nobody but the pipe knows of the transfer.
                was_begun = f"/{task.vm_id}/transfer." in steps.log
                check_successor(self.ground, oned, task, was_begun=was_begun)
        return has_died

    def kill_after(self, verb: str, seconds: float) -> bool:
        """Kill the driver some time after a TRANSFER, and check; tell whether it was under way."""
        with self.ground.driver() as oned:
            task = self.new_task(verb)
            oned.submit(task.vm_id, task.script)
            time.sleep(seconds)
            is_answered = bool(oned.replies(task.vm_id))
            print(verb, seconds, is_answered)  # noqa: T201
            check_successor(self.ground, oned, task, was_begun=seconds > 1)
        return not is_answered


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    """Give what counts steps."""
    if reason := missing_for_steps():
        pytest.skip(reason)
    return Steps(tmp_path, ALL)


def test_driver_killed(make_ground: Make, steps: Steps, chance: random.Random) -> None:
    """The driver killed at some step: children dead within 5 s; its successor answers FAILURE."""
    life = Life(make_ground(warm=True))
    calls = ["read", "write", "openat", "close", "poll", "clone3"]
    some = [Step(call, chance.randint(1, 4)) for call in chance.sample(calls, len(calls))]
    assert any(life.kill_at_step(steps, chance.choice(VERBS), step) for step in some)


@pytest.mark.long
@pytest.mark.parametrize("verb", ["CLONE", "MKSWAP", "MV"])
def test_driver_killed_at_every_step(make_ground: Make, steps: Steps, verb: str) -> None:
    """The same at every step; what the driver itself does is the same for all actions."""
    life = Life(make_ground(warm=True))
    assert not life.kill_at_step(steps, verb, NOWHERE)
    for call in steps.calls:
        assert any(not life.kill_at_step(steps, verb, Step(call, n)) for n in numbers())


def test_driver_killed_in_a_cold_run(make_ground: Make, chance: random.Random) -> None:
    """The same at some moment of a run that started cold."""
    Life(make_ground(warm=False)).kill_after("CLONE", chance.uniform(0, 2))


@pytest.mark.long
@pytest.mark.parametrize("verb", ["CLONE", "MV", "DELETE"])
def test_driver_killed_in_a_cold_run_at_every_time(make_ground: Make, verb: str) -> None:
    """The same in steps of 0.1 s, until the run is over before."""
    life = Life(make_ground(warm=False))
    assert next(n for n in range(100) if not life.kill_after(verb, n * 0.1)) > 3
