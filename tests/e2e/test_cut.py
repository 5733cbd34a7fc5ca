"""Copies that are cut off at random moments: a wrong file never has the final name.

``TM_SEED`` repeats what chance decided; it is printed by each test. ``make faults`` cuts far more
often than the short form does.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.support import images
from tests.support.copies import MEBIBYTES, SLOW_MIB, Action, World
from tests.support.faulty import Cutter, Driven, Run, wait_gone, wait_written
from tests.support.oned import Oned
from tests.support.processes import wait_until
from tests.support.site import Site

LONG = 20
KINDS = ("client", "server", "program", "ours")
VERBS = ("CLONE", "MV")
# Seconds within which a cut that comes by the clock falls: a whole run takes about so long.
WHOLE_RUN_SECONDS = 6.0
VM_IDS = count(1)

pytestmark = pytest.mark.root


@pytest.fixture(params=range(LONG))
def number(request: pytest.FixtureRequest) -> int:
    """Have a test run many times."""
    return int(request.param)


def cut_at_random(
    world: World, action: Action, cutter: Cutter, kind: str, run: Run | Driven
) -> str:
    """Wait for a moment that chance chooses, cut, and tell what was done."""
    if cutter.chance.random() < 0.7:
        size = cutter.chance.randrange((MEBIBYTES + 1) << 20)
        wait_written(run, world.seen(action.hosts[1], action.destination).parent, size)
        moment = f"after {size >> 20} MiB"
    else:
        seconds = cutter.chance.uniform(0, WHOLE_RUN_SECONDS)
        time.sleep(seconds)
        moment = f"after {seconds:.2f} s"
    return f"{kind} {moment}: {getattr(cutter, kind)(run)}"


def check_never_wrong(world: World, action: Action) -> bool:
    """Check that nothing is wrong or lost; tell whether all has arrived."""
    source = world.seen(action.hosts[0], action.source)
    destination = world.seen(action.hosts[1], action.destination)
    has_arrived = os.path.lexists(destination)
    if has_arrived:
        assert images.fingerprint(destination) == action.whole, "a wrong file has the final name"
    elif os.path.lexists(source):
        assert images.fingerprint(source) == action.whole, "the source is no longer whole"
    else:
        pytest.fail("neither the source nor the destination is there")
    return has_arrived


Start = Callable[[bool], Run | Driven]


def check_cut(world: World, action: Action, cutter: Cutter, kind: str, start: Start) -> None:
    """Cut a copy, look, repeat it, and look again.

    Args:
        world: where it is made.
        action: what it is.
        cutter: cuts it.
        kind: in which way.
        start: starts the copy, slowly or not.
    """
    with start(True) as run:
        done = cut_at_random(world, action, cutter, kind, run)
        print(done)  # noqa: T201 - shown where a test fails
        status = run.wait()
        print(status, run.output)  # noqa: T201
        assert wait_gone(lambda: cutter.programs(run)), "our programs outlive what started them"
    has_arrived = check_never_wrong(world, action)
    assert has_arrived or status != 0
    with start(False) as again:
        assert again.wait() == 0, again.output
    assert check_never_wrong(world, action)
    assert action.verb == "CLONE" or not os.path.lexists(world.seen(action.hosts[0], action.source))
    wait_until(lambda: not world.left_over(action), 5)


ROUTES = {
    "CLONE": [("localhost", "node1"), ("node1", "node2")],
    "MV": [("node1", "localhost"), ("node1", "node2")],
}


def cut_between_hosts(
    world: World, kind: str, verb: str, chance: random.Random, output: Path
) -> None:
    """Cut a copy that goes by ssh, on a route that chance chooses."""
    action = world.action(verb, chance.choice(ROUTES[verb]))
    cutter = cutter_for(world, action, chance)
    check_cut(world, action, cutter, kind, partial(world.run, action, output))


def cutter_for(world: World, action: Action, chance: random.Random) -> Cutter:
    """Give what cuts an action between hosts."""
    taking_part = [world.nodes[host] for host in action.hosts if host in world.nodes]
    return Cutter(taking_part, world.control_path_dir, chance)


def test_cut(remote: World, chance: random.Random, tmp_path: Path) -> None:
    """A copy cut by the end of a connection, a program or our processes is whole or not there."""
    kind, verb = chance.choice(["client", "server"]), chance.choice(VERBS)
    cut_between_hosts(remote, kind, verb, chance, tmp_path / "output")


@pytest.mark.long
@pytest.mark.usefixtures("number")
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", KINDS)
def test_cut_often(
    remote: World, kind: str, verb: str, chance: random.Random, tmp_path: Path
) -> None:
    """The same for each way and verb, many times."""
    cut_between_hosts(remote, kind, verb, chance, tmp_path / "output")


def cut_on_one_host(world: World, verb: str, chance: random.Random, output: Path) -> None:
    """Cut an action between two file systems, and check."""
    cutter = Cutter([], world.control_path_dir, chance)
    action = world.action(verb, ("localhost", "localhost"))
    check_cut(world, action, cutter, "ours", partial(world.run, action, output))


def test_cut_on_one_host(local: World, chance: random.Random, tmp_path: Path) -> None:
    """A copy or move to another file system that is cut is whole or not there."""
    cut_on_one_host(local, chance.choice(VERBS), chance, tmp_path / "output")


@pytest.mark.long
@pytest.mark.usefixtures("number")
@pytest.mark.parametrize("verb", VERBS)
def test_cut_on_one_host_often(
    local: World, verb: str, chance: random.Random, tmp_path: Path
) -> None:
    """The same, many times."""
    cut_on_one_host(local, verb, chance, tmp_path / "output")


@pytest.fixture
def drivers(remote: World, inventory: Path, tmp_path: Path) -> Iterator["Drivers"]:
    """Give drivers whose runs start warm."""
    site = Site(tmp_path / "site", "ssh")
    slow = tmp_path / "slow.yml"
    slow.write_text("all: {}\n")
    var = f"{remote.cloud}/var"
    # What is cut lies in no VM's own directory.
    allowed = f"allowed_dirs: [{var}]\nallowed_for: {{CLONE: [{var}], MV: [{var}]}}\n"
    allowed += "engine: {warm: true}\n"
    found = Drivers(site.install(allowed, [inventory, slow]), slow)
    yield found
    found.close()


class Drivers:
    """One driver at a time, and another one once it was killed; every transfer is of one VM."""

    def __init__(self, site: Site, slow: Path) -> None:
        """Take the site, and an inventory of it that may limit the bandwidth."""
        self._site, self._slow = site, slow
        self._driver: Oned | None = None

    def run(self, action: Action, is_slow: bool = False) -> Driven:
        """Start an action, warm, for the VM that has the number of its directory."""
        limit = f"{{vars: {{tm_bandwidth_mib: {SLOW_MIB}}}}}" if is_slow else "{}"
        self._slow.write_text(f"all: {limit}\n")
        if self._driver is None or self._driver.process.poll() is not None:
            self.close()
            self._driver = self._site.start()
        self._driver.wait_warm()
        origin, target = action.hosts
        words = f"{action.verb} {origin}:{action.source} {target}:{action.destination}\n"
        return Driven(self._driver, next(VM_IDS), words)

    def close(self) -> None:
        """End the driver."""
        if self._driver:
            self._driver.kill()


def cut_warm(world: World, drivers: Drivers, kind: str, verb: str, chance: random.Random) -> None:
    """Cut a copy that a warm worker of a driver makes, on a route that chance chooses."""
    action = world.action(verb, chance.choice(ROUTES[verb]))
    check_cut(world, action, cutter_for(world, action, chance), kind, partial(drivers.run, action))


def test_cut_warm(remote: World, drivers: Drivers, chance: random.Random) -> None:
    """A driver's copy that is cut, or whose driver or warm server is killed, is never wrong."""
    cut_warm(remote, drivers, chance.choice(["program", "ours"]), chance.choice(VERBS), chance)


@pytest.mark.long
@pytest.mark.usefixtures("number")
@pytest.mark.parametrize("kind", KINDS)
def test_cut_warm_often(remote: World, drivers: Drivers, kind: str, chance: random.Random) -> None:
    """The same, many times."""
    cut_warm(remote, drivers, kind, chance.choice(VERBS), chance)
