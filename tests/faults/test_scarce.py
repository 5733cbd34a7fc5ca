"""Room, descriptors, memory that are scarce, and a clock that is changed: the driver lives on."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.ground import Ground
from tests.support import filesystems, images
from tests.support.oned import ROOT, Oned, Reply
from tests.support.processes import wait_until

Make = Callable[..., Ground]

pytestmark = pytest.mark.root

DAY = 86400


@pytest.fixture
def make_nfs(make_ground: Make) -> Make:
    """Give a maker of sites on which everything happens on the front-end."""

    def make(**options: object) -> Ground:
        ground = make_ground("nfs", **options)
        ground.host = "localhost"
        return ground

    return make


def carry_out(ground: Ground, oned: Oned, vm_id: int) -> Reply:
    """Have a copy made, and check what is left of it."""
    task = ground.task("CLONE", vm_id)
    oned.submit(vm_id, task.script)
    reply = oned.wait_reply(vm_id)
    assert reply.ok or reply.reason
    ground.check_gone(oned)
    ground.check_files(task, done=reply.ok)
    return reply


@contextmanager
def full_directory(path: Path) -> Iterator[tuple[list[str], Callable[[], None]]]:
    """Give a command's prefix that makes a directory full, and what makes room again."""
    if reason := filesystems.missing_for_file_systems(()):
        pytest.skip(reason)
    with filesystems.front_end() as place:
        path.mkdir()
        place.run("mount", "-t", "tmpfs", "-o", "size=16m", "none", str(path))
        inside = filesystems.seen(place, path)

        def fill() -> None:
            with (inside / "filler").open("wb", 0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    return

        fill.free = (inside / "filler").unlink  # type: ignore[attr-defined]
        yield place.command(), fill


def test_artifact_directory_full(make_nfs: Make, tmp_path: Path, warm: bool) -> None:
    """Artifact directory full: a clean FAILURE, and the next transfer works once there is room."""
    ground = make_nfs(warm=warm)
    with (
        full_directory(tmp_path / "tmp") as (prefix, fill),
        ground.driver(*prefix, TMPDIR=str(tmp_path / "tmp")) as oned,
    ):
        fill()
        reply = carry_out(ground, oned, 1)
        assert not reply.ok
        assert "o space left" in reply.reason
        fill.free()
        assert carry_out(ground, oned, 2).ok


def test_artifact_directory_gone(make_nfs: Make, tmp_path: Path, warm: bool) -> None:
    """Artifact directory gone: a clean FAILURE that names it; when it is back all is well."""
    ground, tmp = make_nfs(warm=warm), tmp_path / "tmp"
    tmp.mkdir()
    with ground.driver(TMPDIR=str(tmp)) as oned:
        shutil.rmtree(tmp)
        reply = carry_out(ground, oned, 1)
        assert not reply.ok
        assert str(tmp) in reply.reason
        tmp.mkdir()
        assert carry_out(ground, oned, 2).ok
        wait_until(lambda: not list(tmp.iterdir()))


SCARCE = {"nofile": "256", "as": str(512 << 20)}


@pytest.mark.parametrize("what", SCARCE)
def test_scarce(make_nfs: Make, what: str, warm: bool) -> None:
    """File descriptors at 256, memory at 512 MB: FAILURE or a queue, never a dead driver."""
    if shutil.which("prlimit") is None:
        pytest.skip("limits need the program prlimit")
    count = (45 if what == "nofile" else 15) if warm else 5
    slow = "copies: {bandwidth_front_end: 16}\nconcurrency: 45\n"
    ground = make_nfs(warm=warm, settings=slow)
    with ground.driver("prlimit", f"--{what}={SCARCE[what]}") as oned:
        tasks = [ground.task("CLONE", vm_id) for vm_id in range(1, count + 1)]
        for task in tasks:
            oned.submit(task.vm_id, task.script)
        replies = [oned.wait_reply(task.vm_id, 120) for task in tasks]
        print([reply.reason for reply in replies])  # noqa: T201 - shown where a test fails
        for task, reply in zip(tasks, replies, strict=True):
            ground.check_files(task, done=reply.ok)
            assert reply.ok or reply.reason.startswith("CLONE ")
        ground.check_gone(oned)
        assert carry_out(ground, oned, 100).ok


# Python reads this when it starts. What it starts that is no Python keeps the time.
MOVED_CLOCK = """\
import time

_now = time.time


def _moved():
    with open({offset!r}) as file:
        return _now() + float(file.read() or 0)


time.time = _moved
time.time_ns = lambda: int(_moved() * 1e9)
"""


def test_clock(make_nfs: Make, tmp_path: Path, warm: bool) -> None:
    """Clock moved by a day, forth and back: no false timeout."""
    offset, directory = tmp_path / "offset", tmp_path / "moved"
    offset.write_text("0")
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(MOVED_CLOCK.format(offset=str(offset)))
    slow = "copies: {bandwidth_front_end: 4}\nlimits: {action_seconds: 60, silence_seconds: 20}\n"
    ground = make_nfs(warm=warm, settings=slow)
    ground.size = 10 * images.MIB
    # Runs inherit little of the driver's environment, and all of its rc file.
    rc = ground.site.etc / "tm_ansible_nfsrc"
    rc.write_text(f"PYTHONPATH={directory}\n")
    with ground.driver(PYTHONPATH=f"{directory}:{ROOT}") as oned:
        task = ground.task("CLONE", 1)
        oned.submit(1, task.script)
        wait_until(lambda: ground.left_over(task))
        for seconds in (DAY, -DAY):
            offset.write_text(str(seconds))
            time.sleep(1)
            assert not oned.replies(1)
        reply = oned.wait_reply(1)
        assert reply.ok, reply.reason
        ground.check(oned, task, reply)
