"""Whatever ends copies: oned, an operator, a limit. Afterwards nothing of them is left."""

import itertools
import os
import random
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.ground import Ground, Task
from tests.support import images
from tests.support.faulty import kill
from tests.support.oned import Oned
from tests.support.processes import wait_until

Make = Callable[..., Ground]
End = Callable[[Oned], int]

pytestmark = pytest.mark.root

MIB = images.MIB
# Fifteen copies of 16 MiB take fifteen seconds together.
SLOW = "copies: {per_host: 0, bandwidth_per_host: 16, bandwidth_front_end: 16}\n"
# Copies that run at once when the driver is to end.
MANY = 15


def finalize(oned: Oned) -> int:
    """End the driver as oned does when it stops."""
    return oned.finalize(8)


def end_input(oned: Oned) -> int:
    """End the driver as it ends when oned is gone."""
    return oned.close_stdin(8)


def terminate(oned: Oned) -> int:
    """End the driver as an operator does."""
    oned.process.send_signal(signal.SIGTERM)
    return oned.wait(8)


def close_output(oned: Oned) -> int:
    """Have the driver's next message fail with EPIPE: nobody reads any more."""
    oned.hang_up()
    return oned.wait(8)


ENDS = [finalize, end_input, terminate, close_output]


def far_copies(ground: Ground, tasks: list[Task]) -> list[Path]:
    """Give what copies have begun to write, on whatever host."""
    return [path for task in tasks for path in ground.left_over(task)]


LONG = pytest.mark.long


def run_of(warm: bool, model: str, end: End) -> object:
    """Give one case; one of them is short."""
    is_short = warm and model == "nfs" and end is finalize
    name = f"{'warm' if warm else 'cold'}-{model}-{end.__name__}"
    return pytest.param(warm, model, end, id=name, marks=() if is_short else LONG)


@pytest.mark.parametrize(
    ("warm", "model", "end"),
    [run_of(*case) for case in itertools.product([True, False], ["nfs", "ssh"], ENDS)],
)
def test_end_during_copies(make_ground: Make, model: str, end: End, warm: bool) -> None:
    """EOF, FINALIZE, SIGTERM during 15 copies; stdout closed: an end within 8 s, nothing left."""
    # One host has half of the slots.
    ground = make_ground(model, f"{SLOW}concurrency: {2 * MANY}\n", warm=warm)
    ground.host = "node1" if model == "ssh" else "localhost"
    ground.size = (16 if warm else 64) * MIB  # the first must not end before the last begins
    with ground.driver() as oned:
        tasks = [ground.task("CLONE", vm_id) for vm_id in range(1, MANY + 1)]
        for task in tasks:
            oned.submit(task.vm_id, task.script)
        wait_until(lambda: len(far_copies(ground, tasks)) >= MANY, 120)
        assert end(oned) == 0
        assert not ground.processes(oned.location), "I5"
        ground.check_gone(oned)
        assert not [line for line in oned.lines if line.startswith("TRANSFER")], "I1"
    for task in tasks:
        ground.check_files(task, done=False)
    wait_until(lambda: not far_copies(ground, tasks), 5)
    with ground.driver() as successor:
        for task in tasks:
            assert successor.wait_reply(task.vm_id).reason.startswith("the driver was restarted")
        ground.check_repeat(successor, tasks[0])


# Cancels at random moments.


class Cancelled:
    """Copies that are cancelled one after the other; the time of each until all is gone."""

    def __init__(self, ground: Ground, oned: Oned, chance: random.Random) -> None:
        self.ground, self.oned, self.chance = ground, oned, chance
        self.vm_id = 0
        self.took: list[float] = []

    def cancel(self) -> None:
        """Cancel a copy at a random moment, prove that it is gone, and delete what is there."""
        self.vm_id += 1
        task = self.ground.task("CLONE", self.vm_id)
        self.oned.submit(self.vm_id, task.script)
        time.sleep(self.chance.uniform(0, 1.5))
        begun = time.monotonic()
        self.oned.send(f"DRIVER_CANCEL  {self.vm_id}")
        delete = f"DELETE {self.ground.host}:{self.ground.disk(self.vm_id).parent}\n"
        with_delete = self.vm_id % 5 == 1
        if with_delete:
            self.delete(task, delete)
        else:
            wait_until(lambda: self.is_gone(task), 15)
            self.took.append(time.monotonic() - begun)
        assert len(self.oned.replies(self.vm_id)) == with_delete

    def delete(self, task: Task, script: str) -> None:
        """Have the VM deleted at once, as oned does; nothing comes back behind that."""
        self.oned.submit(task.vm_id, script)
        assert self.oned.wait_reply(task.vm_id, 20).ok
        assert not self.left(task), "the DELETE did not wait"
        directory = self.ground.at(self.ground.host, self.ground.disk(task.vm_id).parent)
        assert not directory.exists()

    def is_gone(self, task: Task) -> bool:
        """Tell whether nothing of a copy is left, here or there."""
        if self.ground.processes(self.oned.location) or list(self.ground.directories(self.oned)):
            return False
        return not self.left(task)

    def left(self, task: Task) -> bool:
        """Tell whether a copy has left a file."""
        final = self.ground.at(self.ground.host, self.ground.disk(task.vm_id))
        return final.exists() or bool(self.ground.left_over(task))


def cancel_often(ground: Ground, chance: random.Random, count: int) -> list[float]:
    """Cancel so many copies under one driver of one slot, a fifth of them with a DELETE behind.

    Returns:
        The seconds that the others took, sorted.
    """
    ground.size = 8 * MIB
    with ground.driver() as oned:
        cancelled = Cancelled(ground, oned, chance)
        for _ in range(count):
            cancelled.cancel()
        for vm_id in range(1, count + 1):
            assert not ground.at(ground.host, ground.disk(vm_id)).exists(), "it came back"
        ground.check_repeat(oned, ground.task("MKSWAP", cancelled.vm_id + 1))  # the slot is free
    took = sorted(cancelled.took)
    middle, worst = statistics.median(took), took[len(took) * 99 // 100]
    print(f"{len(took)} cancels: median {middle:.2f} s, p99 {worst:.2f} s, most {took[-1]:.2f} s")  # noqa: T201
    return took


# A copy takes eight seconds: none ends by itself before its time is over.
ONE_SLOT = "copies: {bandwidth_per_host: 1}\nconcurrency: 1\n"


@pytest.mark.parametrize("warm", [True, pytest.param(False, marks=LONG)], ids=["warm", "cold"])
def test_cancel(make_ground: Make, chance: random.Random, warm: bool) -> None:
    """DRIVER_CANCEL at random moments, with a DELETE behind it: dead within 5 s, the slot free."""
    took = cancel_often(make_ground(settings=ONE_SLOT, warm=warm), chance, 6 if warm else 3)
    assert took[len(took) // 2] < 5


@LONG
def test_cancel_often(make_ground: Make, chance: random.Random, warm: bool) -> None:
    """The same often enough for 500 times: p99 within 5 s."""
    count = int(os.environ.get("TM_CANCELS", "625"))
    took = cancel_often(make_ground(settings=ONE_SLOT, warm=warm), chance, count)
    assert took[len(took) * 99 // 100] < 5


LIMITS = {
    "action": ("action_seconds: 5", "not finished within 5 s (setting limits.action_seconds)"),
    "silence": ("silence_seconds: 4", "nothing heard for 4 s (setting limits.silence_seconds)"),
}


@pytest.mark.parametrize(
    ("limit", "warm"),
    [
        ("action", True),
        ("silence", False),
        pytest.param("action", False, marks=LONG),
        pytest.param("silence", True, marks=LONG),
    ],
)
def test_limit(make_ground: Make, limit: str, warm: bool) -> None:
    """A time limit ends as a cancel does, with a reason that names it, here and on the host."""
    setting, reason = LIMITS[limit]
    settings = f"copies: {{bandwidth_per_host: 2}}\nlimits: {{{setting}}}\n"
    ground = make_ground(settings=settings, warm=warm)
    ground.size = 24 * MIB
    with ground.driver() as oned:
        task = ground.task("CLONE", 1)
        oned.submit(1, task.script)
        wait_until(lambda: ground.left_over(task))
        held = ground.processes(oned.location) if limit == "silence" else []
        held = [pid for pid in held if pid in ground.nodes["node1"].descendants()]
        for pid in held:
            kill(pid, signal.SIGSTOP)
        reply = oned.wait_reply(1)
        for pid in held:
            kill(pid, signal.SIGCONT)
        assert reply.reason == f"CLONE node1: {reason}"
        ground.check_gone(oned)
        ground.check_files(task, done=False)
        wait_until(lambda: not ground.left_over(task), 5)
