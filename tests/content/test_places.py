"""Every pair of places: front-end, hosts, file systems; every kind of image; every model.

One transfer script a test has all its actions, for most of the time is Ansible's start.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest

from tests.support import filesystems, images
from tests.support.command import ROOT
from tests.support.filesystems import KINDS, Place
from tests.support.forms import in_full
from tests.support.hosts import SshHost, close_masters, make_key, missing_for_hosts, write_inventory

pytestmark = pytest.mark.root
# Bytes by which a copy may be larger on disk where 5 % is less than the file system's own blocks.
GRAIN = 128 * 1024
# What a second run is tried with: to bring these again would take long.
LONG = ("dense", "sparse", "directory")

Spot = tuple[str, str]  # a host and a directory below its ``var``
Route = tuple[Spot, Spot]


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a script.

    Attributes:
        verb: CLONE or MV.
        kind: of the image, one of ``images.IMAGES`` or ``directory``.
        route: from where to where.
        reader: host on which the source is read; with a shared repository the destination's.
        source: its path.
        destination: its path.
    """

    verb: str
    kind: str
    route: Route
    reader: str
    source: Path
    destination: Path

    @property
    def line(self) -> str:
        """The action as a script has it."""
        (one, _here), (other, _there) = self.route
        return f"{self.verb} {one}:{self.source} {other}:{self.destination}"

    @property
    def shares_blocks(self) -> bool:
        """Whether the copy has its source's blocks: by a rename, or where a file system can."""
        (_host, here), (other, there) = self.route
        return (self.reader, here) == (other, there) and (self.verb == "MV" or here != "ext4")


@dataclass(frozen=True, slots=True)
class World:
    """The front-end and two hosts, each with file systems of its own under the same paths.

    Attributes:
        location: ``$ONE_LOCATION``.
        places: by the names that scripts have for them.
        inventory: for Ansible.
    """

    location: Path
    places: dict[str, Place]
    inventory: Path

    def seen(self, host: str, path: Path) -> Path:
        """Find a path of a host as the test can open it."""
        return filesystems.seen(self.places[host], path)

    def transfer(self, model: str, actions: list[Action]) -> list[str]:
        """Carry a script out on the front-end and give its log; fail the test if it fails."""
        script = self.location / "transfer.0"
        script.write_text("\n".join(action.line for action in actions) + "\n")
        front_end = self.places["localhost"]
        assert isinstance(front_end, filesystems.FrontEnd)
        words = [sys.executable, "-m", "tm_ansible.cli", "transfer", str(script)]
        done = subprocess.run(
            front_end.command(*words, "--model", model, "-i", str(self.inventory)),
            env=os.environ | {"PYTHONPATH": str(ROOT), "ONE_LOCATION": str(self.location)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    def left_over(self) -> list[Path]:
        """Give what has a temporary name of ours anywhere."""
        var = self.location / "var"
        return images.left_over(*(self.seen(host, var) for host in self.places))


MOUNTS = [("localhost", kind) for kind in KINDS] + [("node1", kind) for kind in KINDS]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Give the places; they end with the session."""
    if reason := missing_for_hosts() or filesystems.missing_for_file_systems():
        pytest.skip(reason)
    with ExitStack() as stack:
        top = Path(tempfile.mkdtemp(prefix="tmplaces"))
        stack.callback(shutil.rmtree, top)
        front_end = stack.enter_context(filesystems.front_end())
        hosts = _start_hosts(top, stack)
        places: dict[str, Place] = {"localhost": front_end, **hosts}
        location = top / "cloud"
        for host, kind in MOUNTS:
            image = top / f"{host}.{kind}"
            filesystems.mount(places[host], kind, image, location / "var" / kind)
        control = top / "cp"
        control.mkdir()
        inventory = write_inventory(top / "inventory.ini", hosts.values(), control)
        stack.callback(close_masters, control)
        yield World(location, places, inventory)


def _start_hosts(top: Path, stack: ExitStack) -> dict[str, SshHost]:
    key, known = top / "key", top / "node2" / "known_hosts"
    make_key(key)
    # The straight way is open from node1 to node2; tests/e2e/test_transfer.py takes the other.
    reaches = f"Host *\n UserKnownHostsFile {known}\n IdentityFile {key}\n"
    hosts = {
        name: SshHost(
            name, f"127.0.0.{number}", top / name, top / "cloud", key, client_config=config
        )
        for number, (name, config) in enumerate({"node1": reaches, "node2": ""}.items(), 2)
    }
    for host in hosts.values():
        stack.callback(host.stop)
        host.start()
    return hosts


def within(host: str, *pairs: tuple[str, str]) -> list[Route]:
    """Give routes between file systems of one host."""
    return [((host, one), (host, other)) for one, other in pairs]


EVERY_PAIR = list(product(KINDS, KINDS))
# Sharing of blocks, copying on one file system, and copying from one to another.
SOME_PAIRS = [("xfs", "xfs"), ("ext4", "ext4"), ("ext4", "btrfs")]
BETWEEN: list[Route] = [
    (("localhost", "btrfs"), ("node1", "xfs")),
    (("node1", "ext4"), ("localhost", "btrfs")),
    (("node1", "xfs"), ("node2", "plain")),
]
# Where an MV is tried with each kind alone too, and not only with a directory of all.
ALONE = {"nfs": within("localhost", ("xfs", "xfs"), ("ext4", "xfs")), "ssh": BETWEEN}
CASES: dict[str, tuple[str, str, list[Route]]] = {
    "nfs-clone": ("nfs", "CLONE", within("localhost", *EVERY_PAIR)),
    "nfs-mv": ("nfs", "MV", within("localhost", *EVERY_PAIR)),
    # The repository is shared: the host finds the front-end's path on its own file systems.
    "shared-clone": (
        "shared",
        "CLONE",
        [(("localhost", one), ("node1", other)) for one, other in SOME_PAIRS],
    ),
    "shared-mv": ("shared", "MV", within("node1", *SOME_PAIRS) + BETWEEN),
    "ssh-clone": ("ssh", "CLONE", within("node1", *SOME_PAIRS) + BETWEEN),
    "ssh-mv": ("ssh", "MV", within("node1", *SOME_PAIRS) + BETWEEN),
}


def kinds_of(model: str, verb: str, route: Route) -> list[str]:
    """Give the kinds that are tried: an MV has them all in one directory, and some alone."""
    if verb == "CLONE":
        return list(images.IMAGES)
    return ["directory", *(images.IMAGES if route in ALONE.get(model, []) else [])]


def actions_of(world: World, case: str) -> list[Action]:
    """Give the actions of a case."""
    model, verb, routes = CASES[case]
    numbers, var, actions = count(), world.location / "var", []
    for route in routes:
        (host, here), (other, there) = route
        reader = other if (model, verb) == ("shared", "CLONE") else host
        for kind in kinds_of(model, verb, route):
            name = f"{next(numbers)}/disk.7"
            source, destination = (
                var / here / case / "from" / name,
                var / there / case / "to" / name,
            )
            actions.append(Action(verb, kind, route, reader, source, destination))
    return actions


def make_source(world: World, action: Action) -> dict[str, Any]:
    """Make an action's source and give its fingerprint."""
    path = world.seen(action.reader, action.source)
    path.parent.mkdir(parents=True)
    (images.IMAGES | {"directory": images.directory})[action.kind](path)
    images.age(path)
    return {"is": images.fingerprint(path), "room": images.allocated(path)}


# A shared repository makes what a host does no other than in the models nfs and ssh, what is
# moved between hosts is cloned and removed. Clones are in test_clone.py and e2e/test_transfer.py.


@pytest.mark.parametrize(
    "case", ["nfs-mv", *in_full("nfs-clone", "shared-clone", "shared-mv", "ssh-clone", "ssh-mv")]
)
def test_every_pair(world: World, case: str) -> None:
    """A copy or move has the source's bytes, links, modes, times and holes; a second is none."""
    model, actions = CASES[case][0], actions_of(world, case)
    sources = [make_source(world, action) for action in actions]
    world.transfer(model, actions)
    for action, source in zip(actions, sources, strict=True):
        check(world, action, source)
    assert world.left_over() == []
    again = [action for action in actions if action.kind in LONG]
    before = [state(world, action) for action in again]
    log = world.transfer(model, again)
    assert [state(world, action) for action in again] == before
    assert not [line for line in log if "copied" in line or "moved" in line]


def check(world: World, action: Action, source: dict[str, Any]) -> None:
    """Compare what an action made with its source as it was."""
    copy = copy_of(world, action)
    assert images.fingerprint(copy) == source["is"], action.line
    room = images.allocated(copy)
    assert room <= source["room"] * 1.05 + GRAIN, (action, room)
    if action.kind == "zeros" and not action.shares_blocks:
        assert room <= GRAIN, (action, room)
    if action.verb == "MV":
        assert not os.path.lexists(world.seen(action.reader, action.source)), action
    else:
        assert copy.stat().st_mode & 0o222 == 0o222, action


def copy_of(world: World, action: Action) -> Path:
    """Find what an action made."""
    return world.seen(action.route[1][0], action.destination)


def state(world: World, action: Action) -> list[Any]:
    """Give what would tell that something was written again: numbers, times and room."""
    top = copy_of(world, action)
    states = [path.lstat() for path in [top, *sorted(top.rglob("*"))]]
    return [(one.st_ino, one.st_mtime_ns, one.st_ctime_ns, one.st_blocks) for one in states]
