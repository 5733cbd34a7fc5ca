"""Disks and hosts that refuse: FAILURE that names the thing, and nothing is left."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.ground import Ground, Task
from tests.faults.steps import Steps, missing_for_steps
from tests.support.oned import Oned, Reply
from tests.support.processes import wait_until

Make = Callable[..., Ground]

pytestmark = pytest.mark.root


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    """Give what makes system calls fail."""
    if reason := missing_for_steps():
        pytest.skip(reason)
    return Steps(tmp_path)


FULL = r"no space left in {directory}\b.*\(\d+ bytes\) needed, .*\(\d+ bytes\) free"
WRITE, FLUSH = ("pwrite64", "pwritev"), ("fsync", "fdatasync")
CUT = ("ftruncate",)
MAKE, NAME = ("mkdir", "mkdirat"), ("rename", "renameat", "renameat2")
ERRORS = [
    (WRITE, "EDQUOT", FULL),
    (FLUSH, "ENOSPC", FULL),
    (FLUSH, "EDQUOT", FULL),
    (FLUSH, "EIO", "{directory}.*the device reports an error"),
    (NAME, "ENOSPC", FULL),
    (MAKE, "EACCES", "{directory}.*permission denied"),
    (MAKE, "EROFS", "{directory}.*the file system is read-only"),
    (CUT, "EFBIG", "{directory}.*does not allow files of this size"),
]


@pytest.mark.long
@pytest.mark.parametrize("verb", ["CLONE", "MKSWAP", "MKIMAGE"])
def test_call_fails(make_ground: Make, steps: Steps, verb: str) -> None:
    """No space in the middle, at the flush; quota; permission; read-only: told with directory."""
    ground = make_ground(more=(steps.inventory,), warm=True)
    with ground.driver() as oned:
        for vm_id, (calls, error, words) in enumerate(ERRORS, 1):
            if verb != "CLONE" and calls in (WRITE, CUT):
                continue  # mkswap(8) writes as whoever tells something, mke2fs(8) tries another way
            task = ground.task(verb, vm_id)
            if calls != MAKE:  # else the flush of its directory is what fails
                ground.at(ground.host, ground.disk(vm_id).parent).mkdir(parents=True)
            # A session that was kept is not traced.
            wait_until(lambda: not ground.processes(oned.location))
            with steps.failing(calls, error):
                reply = carry_out(oned, task)
            print(calls, error, reply)  # noqa: T201 - shown where a test fails
            assert steps.has_failed
            directory = re.escape(str(ground.site.vm_dir(vm_id)))
            directory = f"{directory}(/images)?(/disk.0)?"
            assert re.search(words.format(directory=directory), reply.reason), reply.reason
            assert not reply.ok
            ground.check(oned, task, reply)


def carry_out(oned: Oned, task: Task) -> Reply:
    """Have a script carried out, and give the reply."""
    oned.submit(task.vm_id, task.script)
    return oned.wait_reply(task.vm_id)


def test_far_tmp_full(make_ground: Make) -> None:
    """Far tmp full: nothing is kept there, and every action goes on."""
    ground = make_ground(warm=True)
    node = ground.nodes["node1"]
    tmp = node.directory / "tmp"
    tmp.mkdir(exist_ok=True)
    node.run("mount", "-t", "tmpfs", "-o", "size=4k", "none", str(tmp))
    node.run("sh", "-c", 'cat /dev/zero >"$1/filler" 2>/dev/null; true', "sh", str(tmp))
    try:
        with ground.driver() as oned:
            for vm_id, verb in enumerate(("CLONE", "MKSWAP"), 1):
                task = ground.task(verb, vm_id)
                reply = carry_out(oned, task)
                assert reply.ok, reply.reason
                ground.check(oned, task, reply)
    finally:
        node.run("umount", str(tmp))


WRONG = {"missing": "no such file", "directory": "is a directory", "fifo": "is "}


@pytest.mark.parametrize("where", [pytest.param("localhost", marks=pytest.mark.long), "node2"])
def test_source_is_none(make_ground: Make, where: str) -> None:
    """Source missing, a directory, no file: FAILURE before the destination is touched."""
    ground = make_ground(warm=True)
    with ground.driver() as oned:
        repository = ground.at(where, ground.site.images) / "wrong"
        (repository / "directory").mkdir(parents=True)
        os.mkfifo(repository / "fifo")
        origin = "fe" if where == "localhost" else where
        for vm_id, (name, words) in enumerate(WRONG.items(), 1):
            source = ground.site.images / "wrong" / name
            oned.submit(vm_id, f"CLONE {origin}:{source} node1:{ground.disk(vm_id)}\n")
            reply = oned.wait_reply(vm_id)
            assert not reply.ok
            assert str(source) in reply.reason
            assert re.search(words, reply.reason), reply.reason
            assert not ground.at("node1", ground.site.vm_dir(vm_id)).exists()
