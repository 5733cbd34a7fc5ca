"""Disks that fill up, bits that flip, sources that change: a failure, and nothing of it is left."""

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import filesystems, images
from tests.support.copies import MEBIBYTES, Action, World
from tests.support.faulty import (
    Cutter,
    Run,
    descendants,
    flipping_interpreter,
    kill,
    wait_written,
    written,
)

MIB = images.MIB
# Below what is on the disk when a copy is held: far from its end.
HELD_AT = 8 * MIB
NO_SPACE = r"no space (left )?in {directory}\b.*\(\d+ bytes\) needed, .*\(\d+ bytes\) free"

pytestmark = pytest.mark.root


@contextmanager
def held(world: World, action: Action, run: Run) -> Iterator[None]:
    """Have a copy that has begun stand still during the block."""
    cutter = Cutter(world.nodes.values(), world.control_path_dir, random.Random(0))  # noqa: S311
    destination = world.seen(action.hosts[1], action.destination)
    assert wait_written(run, destination.parent, HELD_AT), run.output
    pids = [*cutter.programs(run), *descendants(run.process.pid)]
    for pid in pids:
        kill(pid, signal.SIGSTOP)
    try:
        assert written(destination.parent) < MEBIBYTES * MIB, "it was held too late"
        yield
    finally:
        for pid in pids:
            kill(pid, signal.SIGCONT)


def check_failed(world: World, action: Action, run: Run, words: str) -> None:
    """Check that a run ends with a reason, that nothing is left, and that the source stays."""
    assert run.wait() == 1, run.output
    assert re.search(words, run.output), run.output
    assert not os.path.lexists(world.seen(action.hosts[1], action.destination))
    assert world.left_over(action) == []
    assert os.path.lexists(world.seen(action.hosts[0], action.source))


def check_succeeds(world: World, action: Action, output: Path) -> None:
    """Check that the same action succeeds now."""
    with world.run(action, output) as run:
        assert run.wait() == 0, run.output
    copy = world.seen(action.hosts[1], action.destination)
    assert images.fingerprint(copy) == action.whole
    assert world.left_over(action) == []


def free(world: World, action: Action) -> int:
    """Give the free bytes of a destination's file system, with all written that is to be."""
    directory = world.seen(action.hosts[1], action.destination.parent)
    subprocess.run(["sync", "-f", str(directory)], check=True)
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


def fill(directory: Path) -> None:
    """Write a file until the file system is full."""
    with (directory / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(MIB)):
                pass
        except OSError:
            os.fsync(file.fileno())


@pytest.fixture(params=["remote", pytest.param("local", marks=pytest.mark.long)])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, Action]]:
    """Give a CLONE to a file system of little more than the image's size, by ssh and locally."""
    world: World = request.getfixturevalue(request.param)
    if world.front_end:
        yield world, world.action("CLONE", ("localhost", "localhost"))
        return
    if reason := filesystems.missing_for_file_systems(("ext4",)):
        pytest.skip(reason)
    node, to = world.nodes["node1"], world.cloud / "var" / "to"
    filesystems.mount(node, "ext4", tmp_path / "ext4.img", to, mebibytes=256)
    try:
        yield world, world.action("CLONE", ("localhost", "node1"))
    finally:
        node.run("umount", "--", str(to))


def test_fills_up_in_mid_copy(small: tuple[World, Action], tmp_path: Path) -> None:
    """A file system that others fill meanwhile is named with both numbers; the room comes back."""
    world, action = small
    before, directory = free(world, action), world.seen(action.hosts[1], action.destination.parent)
    with world.run(action, tmp_path / "output", is_slow=True) as run:
        with held(world, action, run):
            fill(directory)
        check_failed(
            world, action, run, NO_SPACE.format(directory=re.escape(str(action.destination.parent)))
        )
    (directory / "filler").unlink()
    assert free(world, action) >= before - MIB
    check_succeeds(world, action, tmp_path / "output")


def test_refused_for_lack_of_room(small: tuple[World, Action], tmp_path: Path) -> None:
    """What does not fit is refused before it begins; holes need no room."""
    world, action = small
    directory = world.seen(action.hosts[1], action.destination.parent)
    with (directory / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 200 * MIB)
    with world.run(action, tmp_path / "output") as run:
        check_failed(
            world, action, run, NO_SPACE.format(directory=re.escape(str(action.destination.parent)))
        )
    source = world.outside(action.hosts[0], action.source)
    source.unlink()
    images.sparse(source)
    os.truncate(source, 100 << 30)
    with world.run(action, tmp_path / "output") as run:
        assert run.wait() == 0, run.output
    copy = world.seen(action.hosts[1], action.destination)
    assert copy.stat().st_size == 100 << 30
    assert images.allocated(copy) < 4 * MIB


@pytest.mark.parametrize("verb", ["CLONE", pytest.param("MV", marks=pytest.mark.long)])
def test_own_leftovers_take_no_room(small: tuple[World, Action], verb: str, tmp_path: Path) -> None:
    """What a killed copy has left does not keep the next one out of a file system that is full."""
    world, action = small[0], replace(small[1], verb=verb)
    hosts = [world.nodes[host] for host in action.hosts if host in world.nodes]
    with world.run(action, tmp_path / "output", is_slow=True) as run:
        destination = world.seen(action.hosts[1], action.destination)
        assert wait_written(run, destination.parent, MEBIBYTES * MIB * 3 // 4), run.output
        everybody = [*descendants(run.process.pid), run.process.pid]
        for pid in [*everybody, *(pid for host in hosts for pid in host.descendants())]:
            kill(pid)
    check_succeeds(world, action, tmp_path / "output")


def grow(path: Path) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    """Cut a file's end off."""
    os.truncate(path, MEBIBYTES * MIB - MIB)


def write_into(path: Path) -> None:
    """Write into the beginning of a file, which was read already."""
    with path.open("r+b") as file:
        file.write(b"other")


def replace_file(path: Path) -> None:
    """Put another file of the same size and time in a file's place."""
    new = path.with_name("new")
    shutil.copy2(path, new)
    new.replace(path)


CHANGES = [grow, shrink, write_into, replace_file]


COPIES = [("local", "CLONE"), ("local", "MV"), ("remote", "MV")]
SHORT = [
    (write_into, "local", "CLONE"),
    (replace_file, "remote", "MV"),
]


def changes() -> Iterator[object]:
    """Give each change of each copy; those that are not short are marked."""
    for change, copy in itertools.product(CHANGES, COPIES):
        marks = () if (change, *copy) in SHORT else pytest.mark.long
        yield pytest.param(change, *copy, marks=marks)


@pytest.mark.parametrize(("change", "where", "verb"), list(changes()))
def test_source_changes(
    request: pytest.FixtureRequest,
    where: str,
    verb: str,
    change: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    """A source that changes while it is copied is a failure, and stays as it is now."""
    world: World = request.getfixturevalue(where)
    hosts = ("localhost", "localhost") if where == "local" else ("node1", "node2")
    action = replace(world.action("CLONE", hosts), verb=verb)
    source = world.outside(action.hosts[0], action.source)
    # The original is linked from elsewhere.
    replace_file(source)
    with world.run(action, tmp_path / "output", is_slow=True) as run:
        with held(world, action, run):
            change(source)
            now = images.digest(source)
        check_failed(world, action, run, "changed|became shorter|differs")
    assert images.digest(source) == now


def move_with_flip(world: World, offset: int, tmp_path: Path, settings: str = "") -> None:
    """Move from node1 to node2, whose receiver gets one bit flipped, and check how that ends."""
    interpreter = flipping_interpreter(tmp_path / "python3", offset)
    more = tmp_path / "more.ini"
    more.write_text(f"node2 ansible_python_interpreter={interpreter} {settings}\n")
    action = world.action("MV", ("node1", "node2"))
    damaged = replace(world, words=(*world.words, "-i", str(more)))
    with damaged.run(action, tmp_path / "output") as run:
        check_failed(world, action, run, "damaged|cut off|inside a directory")
    source = world.outside("node1", action.source)
    assert images.fingerprint(source) == action.whole
    check_succeeds(world, action, tmp_path / "output")


def test_flipped_bit(remote: World, chance: random.Random, tmp_path: Path) -> None:
    """A bit that flips on its way is found; nothing is made, and the source stays."""
    move_with_flip(remote, chance.randrange(MIB, MEBIBYTES * MIB), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("compression", ["always", "never"])
def test_flipped_bit_often(
    remote: World, chance: random.Random, compression: str, number: int, tmp_path: Path
) -> None:
    """The same at many places, in a stream as it is and in a compressed one."""
    offset = chance.randrange(MIB, MEBIBYTES * MIB)
    move_with_flip(remote, offset, tmp_path, f"tm_compression={compression}")
