"""Programs that take the run's marker out of their environment: the kernel's groups hold them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.oned import Oned
from tests.support.processes import alive, wait_until
from tests.support.site import Site
from tm_ansible.engine.cgroup import Group

# Starts a daemon without environment, parent and session, and works on for some seconds.
PROGRAM = """\
#!/bin/sh
env -i setsid sh -c 'echo $$ > {pid}; exec sleep 100' < /dev/null > /dev/null 2>&1 &
while [ ! -s {pid} ]; do sleep 0.05; done
sleep ${{1##*/}}
"""


@pytest.fixture(autouse=True)
def _groups() -> None:
    group = Group.make(f"test.{os.getpid()}")
    if group is None:
        pytest.skip("there is no cgroup of version 2 here that may be written to")
    group.end()


@pytest.fixture(params=["warm", "cold"])
def is_warm(request: pytest.FixtureRequest) -> bool:
    """Have runs start warm, and cold."""
    return str(request.param) == "warm"


@pytest.fixture
def site(tmp_path: Path, is_warm: bool) -> Site:
    """Give a site with an action that leaves a daemon behind."""
    site = Site(tmp_path / "site", "nfs").install(f"engine: {{warm: {str(is_warm).lower()}}}\n")
    site.set_program("CLONE", "leave", PROGRAM.format(pid=site.base / "pid"))
    return site


@pytest.fixture
def oned(site: Site, is_warm: bool) -> Iterator[Oned]:
    """Give a driver that is ready."""
    with site.start() as driver:
        if is_warm:
            driver.wait_warm()
        yield driver


def daemon(oned: Oned, site: Site, seconds: int, vm_id: int = 7) -> int:
    """Have an action leave a daemon behind and go on for some seconds; give the daemon."""
    pid = site.base / "pid"
    pid.unlink(missing_ok=True)
    oned.submit(vm_id, f"CLONE fe:/{seconds} fe:/b\n")
    wait_until(lambda: pid.exists() and pid.read_text().strip())
    return int(pid.read_text())


def groups(of: str) -> list[Path]:
    """Give the groups of one driver's runs that are there, without a worker's that waits."""
    group = Group.make(f"test.{os.getpid()}")
    assert group
    found = [path for path in group.path.parent.glob("tm_ansible.*") if of in path.name]
    group.end()
    return [path for path in found if names(path) != {"tm-spare"}]


def names(group: Path) -> set[str]:
    """Give the names of the processes in a group, as ps(1) shows them."""
    with suppress(OSError):
        pids = (group / "cgroup.procs").read_text().split()
        return {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
    return set()


def token(site: Site) -> str:
    """Give what the names of a driver's runs begin with."""
    [journal] = (site.location / "var").rglob(".*.journal")
    return journal.name.removeprefix(".").removesuffix(".journal")


def test_end(site: Site, oned: Oned) -> None:
    """When an action has ended well, nothing that it left behind runs on, nor its group."""
    left = daemon(oned, site, 0)
    reply = oned.wait_reply(7)
    assert reply.ok, reply.reason
    assert not alive(left)
    assert not groups(token(site))


def test_cancel(site: Site, oned: Oned) -> None:
    """DRIVER_CANCEL reaches it too."""
    left = daemon(oned, site, 100)
    oned.send("DRIVER_CANCEL 7")
    wait_until(lambda: not alive(left), 5)
    wait_until(lambda: not groups(token(site)), 5)


def test_a_number_given_anew() -> None:
    """A process that has left for a group of a longer name is not killed with its former group."""
    one, ten = Group.make(f"test.{os.getpid()}.1"), Group.make(f"test.{os.getpid()}.10")
    assert one
    assert ten
    process = subprocess.Popen(["sleep", "60"])
    ten.add(process.pid)
    assert one._kill(process.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert ten.end() == one.end() == []
    assert process.wait(5) == -9


@pytest.mark.long
@pytest.mark.parametrize("is_warm", ["warm"], indirect=True)
def test_another_server(site: Site, oned: Oned) -> None:
    """The next server of warm workers has groups of its own while runs of the first go on."""
    first = oned.wait_warm()
    left = [daemon(oned, site, 100)]
    os.kill(first, signal.SIGKILL)
    daemon(oned, site, 0, 8)
    assert oned.wait_reply(8).ok
    oned.wait_warm()
    left.append(daemon(oned, site, 100, 9))
    # That of a worker which waited when its server was killed is empty.
    held = [names(group) for group in groups(token(site))]
    assert len(list(filter(None, held))) == 2
    for vm_id in (7, 9):
        oned.send(f"DRIVER_CANCEL {vm_id}")
    wait_until(lambda: not any(alive(pid) for pid in left), 5)


def test_driver_killed(site: Site, oned: Oned) -> None:
    """The successor of a driver that was killed ends it."""
    left = daemon(oned, site, 100)
    of = token(site)
    os.kill(oned.process.pid, signal.SIGKILL)
    oned.process.wait()
    assert groups(of)
    with site.start() as successor:
        successor.wait_reply(7)
        assert not alive(left)
        assert not groups(of)
