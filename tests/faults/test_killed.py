"""Whatever is killed but the driver, at every step of every action: one reply, and no harm."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from tests.faults.ground import VERBS, Ground, Task
from tests.faults.steps import NOWHERE, Step, Steps, missing_for_steps, numbers
from tests.support.faulty import descendants, kill, name, programs, ssh_clients, words
from tests.support.hosts import children_of, close_masters
from tests.support.oned import Oned
from tests.support.processes import wait_until

Make = Callable[..., Ground]
# What makes harm at a step, or some pieces of time after the begin.
Harm = Callable[[Any], AbstractContextManager[Callable[[], bool]]]

pytestmark = pytest.mark.root


class Stage:
    """Actions that are harmed, one after the other, under one driver."""

    def __init__(
        self, ground: Ground, oned: Oned, task: Callable[[str, int], Task] | None = None
    ) -> None:
        self.ground, self.oned, self._vm_id = ground, oned, 0
        self._task = task or ground.task

    def harm(self, verb: str, moment: Step | int, harm: Harm) -> bool:
        """Carry an action out, harm it at some moment, check; tell whether it came so far."""
        self._vm_id += 1
        task = self._task(verb, self._vm_id)
        with harm(moment) as was_reached:
            self.oned.submit(task.vm_id, task.script)
            reply = self.oned.wait_reply(task.vm_id)
        print(verb, moment, reply)  # noqa: T201 - shown where a test fails
        assert reply.ok or was_reached(), reply.reason
        self.ground.check(self.oned, task, reply)
        return was_reached()

    def harm_each(self, verb: str, harm: Harm, call: str = "") -> int:
        """Do so at each moment, until an action passes unharmed; tell how many there were.

        Args:
            verb: of the action.
            harm: makes the harm.
            call: the system call whose calls are the moments; pieces of time without.
        """
        for count, number in enumerate(numbers()):
            if not self.harm(verb, Step(call, number) if call else number, harm):
                return count
        raise AssertionError("numbers end")

    def harm_each_step(self, verb: str, harm: Harm, steps: Steps) -> int:
        """Do so at each step of an action; tell how many there were."""
        self.harm(verb, NOWHERE, harm)
        return sum(self.harm_each(verb, harm, call) for call in steps.calls)


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    """Give what counts steps."""
    if reason := missing_for_steps():
        pytest.skip(reason)
    return Steps(tmp_path)


@pytest.fixture
def far(make_ground: Make, steps: Steps) -> Iterator[tuple[Stage, Harm]]:
    """Have the programs on the host killed."""
    ground = make_ground(more=(steps.inventory,), warm=True)
    with ground.driver() as oned:

        @contextmanager
        def harm(step: Step) -> Iterator[Callable[[], bool]]:
            # A session that was kept is not traced.
            wait_until(lambda: not ground.processes(oned.location))
            with steps.of_host(step):
                yield lambda: steps.was_reached

        yield Stage(ground, oned), harm


@pytest.fixture(params=["ssh", "nfs"])
def here(
    make_ground: Make, steps: Steps, request: pytest.FixtureRequest
) -> Iterator[tuple[Stage, Harm]]:
    """Have the engine, ansible-playbook, its ssh and what copies here killed."""
    ground = make_ground(request.param, warm=True)
    ground.host = "node1" if request.param == "ssh" else "localhost"
    with ground.driver() as oned:

        @contextmanager
        def harm(step: Step) -> Iterator[Callable[[], bool]]:
            server = oned.wait_warm()
            # Who ends by itself cannot be traced. The workers that wait for their runs, too.
            wait_until(lambda: not ground.processes(oned.location))
            with steps.of([server, *descendants(server)], step):
                yield lambda: steps.was_reached

        yield Stage(ground, oned), harm


@pytest.fixture(params=["nfs", "ssh"])
def staying(
    make_ground: Make, steps: Steps, request: pytest.FixtureRequest
) -> Iterator[tuple[Stage, Harm]]:
    """Have the same killed in a run that has stayed behind another transfer."""
    ground = make_ground(request.param, warm=True, seconds=3)
    ground.host = "node1" if request.param == "ssh" else "localhost"
    others = itertools.count(500)
    with ground.driver() as oned:

        @contextmanager
        def harm(step: Step) -> Iterator[Callable[[], bool]]:
            server = oned.wait_warm()
            assert oned.transfer(*astuple(ground.tasks("CLONE", next(others)))[:2]).ok
            run = [pid for pid in descendants(server) if name(pid) == "tm-worker"]
            assert run
            with steps.of([server, *descendants(server)], step):
                yield lambda: steps.was_reached

        yield Stage(ground, oned, ground.tasks), harm


def some_far_step(chance: random.Random) -> Step:
    """Give a step that most actions come to on the host."""
    return Step(chance.choice(["fsync", "renameat", "fchmod", "ftruncate", "unlinkat"]), 1)


def some_step(chance: random.Random) -> Step:
    """Give a step that most actions come to here."""
    call = chance.choice(["write", "write", "unlinkat", "renameat", "fsync", "mkdir"])
    return Step(call, chance.randint(1, 12 if call == "write" else 2))


def shuffled(chance: random.Random) -> list[str]:
    """Give the verbs in some order, several times: not every action comes to every step."""
    return chance.sample(VERBS * 2, 2 * len(VERBS))


def test_far_program_killed(far: tuple[Stage, Harm], chance: random.Random) -> None:
    """The far process killed: FAILURE that names the action, and the next transfer works."""
    stage, harm = far
    assert any(stage.harm(verb, some_far_step(chance), harm) for verb in shuffled(chance))


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_far_program_killed_at_every_step(far: tuple[Stage, Harm], steps: Steps, verb: str) -> None:
    """The same at every step of every action."""
    stage, harm = far
    assert stage.harm_each_step(verb, harm, steps) > 3


def test_engine_killed(here: tuple[Stage, Harm], chance: random.Random) -> None:
    """The engine, an ansible-playbook, an ssh killed: FAILURE that names the action."""
    stage, harm = here
    assert any(stage.harm(verb, some_step(chance), harm) for verb in shuffled(chance))


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_engine_killed_at_every_step(here: tuple[Stage, Harm], steps: Steps, verb: str) -> None:
    """The same at every step of every action."""
    stage, harm = here
    assert stage.harm_each_step(verb, harm, steps) > 3


def test_staying_run_killed(staying: tuple[Stage, Harm], chance: random.Random) -> None:
    """A run that has stayed, killed in a later transfer: FAILURE that names one of its actions."""
    stage, harm = staying
    verbs = [verb for verb in shuffled(chance) if may_stay(stage, verb)][: len(VERBS)]
    assert any(stage.harm(verb, Step("write", chance.randint(1, 4)), harm) for verb in verbs)


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_staying_run_killed_at_every_step(
    staying: tuple[Stage, Harm], steps: Steps, verb: str
) -> None:
    """The same at every step of every action that is carried out in such a run."""
    stage, harm = staying
    if not may_stay(stage, verb):
        pytest.skip("an image goes to another host: such a run does not stay")
    assert stage.harm_each_step(verb, harm, steps) > 3


def may_stay(stage: Stage, verb: str) -> bool:
    """Tell whether a run that carries an action out stays."""
    return stage.ground.site.model == "nfs" or verb != "MV"


# A process is killed so many pieces of time after it was seen first.
PIECE_SECONDS = 0.05


def of_driver(ground: Ground, oned: Oned) -> list[int]:
    """Give what the driver has started, without the server of warm workers."""
    return [pid for pid in descendants(oned.process.pid) if name(pid) != "tm-warm"]


def workers(ground: Ground, oned: Oned) -> list[int]:
    """Give the processes of the engine."""
    pids = of_driver(ground, oned)
    return [pid for pid in pids if b"engine.worker" in words(pid) or name(pid) == "tm-worker"]


def playbooks(ground: Ground, oned: Oned) -> list[int]:
    """Give the processes of ansible-playbook, forks for tasks included."""
    below = [pid for worker in workers(ground, oned) for pid in descendants(worker)]
    return [pid for pid in below if name(pid).startswith(("ansible", "python", "tm-worker"))]


def clients(ground: Ground, _oned: Oned) -> list[int]:
    """Give the ssh clients, masters included."""
    return ssh_clients(ground.control_path_dir)


def servers(ground: Ground, _oned: Oned) -> list[int]:
    """Give the connections at the host's end."""
    return list(children_of(ground.nodes["node1"].pid))


def far_programs(ground: Ground, _oned: Oned) -> list[int]:
    """Give the programs on the host."""
    return programs(ground.nodes["node1"].descendants())


KINDS = [workers, playbooks, clients, servers, far_programs]
Kind = Callable[[Ground, Oned], list[int]]


def by_time(stage: Stage, kind: Kind) -> Harm:
    """Give a harm: all of a kind are killed, pieces of time after the first of them was seen."""

    @contextmanager
    def harm(number: int) -> Iterator[Callable[[], bool]]:
        # Each action is to log in anew: connections are among what is killed.
        close_masters(stage.ground.control_path_dir)
        wait_until(lambda: not servers(stage.ground, stage.oned))
        killer = Killer(stage, kind, (number - 1) * PIECE_SECONDS)
        killer.start()
        try:
            yield lambda: bool(killer.killed)
        finally:
            killer.is_over.set()
            killer.join()

    return harm


class Killer(threading.Thread):
    """Kills processes that were not there before, some time after the first was seen."""

    def __init__(self, stage: Stage, kind: Kind, seconds: float) -> None:
        """Take note of what is there already."""
        super().__init__()
        self._find = lambda: set(kind(stage.ground, stage.oned))
        self._before, self._seconds = self._find(), seconds
        self.killed: set[int] = set()
        self.is_over = threading.Event()

    def run(self) -> None:
        """Wait for them, and for their time."""
        seen = 0.0
        while not (self.killed or self.is_over.wait(0.005)):
            found = self._find() - self._before
            seen = seen or (time.monotonic() if found else 0.0)
            if found and time.monotonic() - seen >= self._seconds:
                self.killed = found
                for pid in found:
                    kill(pid)


@pytest.mark.long
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_kinds_killed(make_ground: Make, warm: bool, chance: random.Random) -> None:
    """The engine, an ansible-playbook, an ssh or the far process, warm and cold, at some time."""
    ground = make_ground(warm=warm)
    with ground.driver() as oned:
        stage = Stage(ground, oned)
        for kind in KINDS:
            stage.harm(chance.choice(VERBS), chance.randint(1, 6), by_time(stage, kind))


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_kind_killed_at_every_time(make_ground: Make, kind: Kind, verb: str, warm: bool) -> None:
    """The same at every moment of every action, until it is over before."""
    ground = make_ground(warm=warm)
    with ground.driver() as oned:
        stage = Stage(ground, oned)
        assert stage.harm_each(verb, by_time(stage, kind)) > 0
