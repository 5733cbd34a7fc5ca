"""Sessions on hosts that outlive a run: used by the next one, and gone soon after the last."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faulty import descendants, name, programs
from tests.support.forms import in_full
from tests.support.hosts import SshHost, children_of
from tests.support.oned import Oned
from tests.support.processes import alive, wait_until
from tests.support.site import Site

pytestmark = pytest.mark.root

# Longer than any of the tests, whatever the machine: what ends, ends for another reason.
SETTINGS = "engine: {warm: true, session_seconds: 600}\ncopies: {bandwidth_per_host: 4}\n"
FAILING = "DELETE node1:/srv/elsewhere/disk.0\n"


@pytest.fixture
def site(front_end: Path, inventory: Path) -> Site:
    """Give a site whose runs start warm, with an image."""
    site = Site(front_end / "site", "ssh").install(SETTINGS, inventories=[inventory])
    (site.images / "a.img").write_bytes(os.urandom(300_000))
    (site.images / "long.img").write_bytes(os.urandom(40 << 20))
    return site


def set_seconds(site: Site, seconds: int) -> None:
    """Say how long sessions wait for the next run."""
    text = (site.etc / "settings.yml").read_text()
    (site.etc / "settings.yml").write_text(text.replace("600", str(seconds)))


@pytest.fixture
def oned(site: Site, nodes: dict[str, SshHost]) -> Iterator[Oned]:
    """Give a driver whose runs start warm from now on, and hosts without a session."""
    wait_until(lambda: not sessions(nodes["node1"]))
    with site.start() as driver:
        driver.wait_warm()
        yield driver


def sessions(host: SshHost) -> set[int]:
    """Give our programs on a host that no other one of them has started."""
    ours = set(programs(host.descendants()))
    return ours - {child for pid in ours for child in children_of(pid)}


def clone(site: Site, vm_id: int) -> str:
    """Give a script of three actions."""
    source, disk = f"fe:{site.images}/a.img", f"node1:{site.vm_dir(vm_id)}/images/disk"
    return f"CLONE {source} {disk}.0\nMKSWAP 1 {disk}.1\nLN {source} {disk}.2\n"


def check_made(site: Site, host: SshHost, vm_id: int) -> None:
    """Check the images that ``clone`` makes."""
    image = (site.images / "a.img").read_bytes()
    for number in (0, 2):
        assert host.path(site.vm_dir(vm_id) / "images" / f"disk.{number}").read_bytes() == image


def test_the_next_run_goes_on_with_it(site: Site, oned: Oned, nodes: dict[str, SshHost]) -> None:
    """One session does the work of several runs."""
    host = nodes["node1"]
    assert oned.transfer(7, clone(site, 7)).ok
    (first,) = sessions(host)
    for vm_id in (8, 9):
        done = oned.transfer(vm_id, clone(site, vm_id))
        assert done.ok, done.reason
        check_made(site, host, vm_id)
    assert sessions(host) == {first}


@pytest.mark.parametrize("seconds", [2, *in_full(0)])
def test_it_ends_in_time(site: Site, nodes: dict[str, SshHost], seconds: int) -> None:
    """With its run, or when nobody has wanted it for as long as ``session_seconds`` says."""
    set_seconds(site, seconds)
    with site.start() as oned:
        oned.wait_warm()
        assert oned.transfer(7, clone(site, 7)).ok
        assert bool(sessions(nodes["node1"])) == bool(seconds)
        wait_until(lambda: not sessions(nodes["node1"]))


@pytest.mark.long
def test_one_that_has_died_is_not_used(site: Site, oned: Oned, nodes: dict[str, SshHost]) -> None:
    """The run behind a session's death starts another."""
    assert oned.transfer(7, clone(site, 7)).ok
    (first,) = sessions(nodes["node1"])
    os.kill(first, signal.SIGKILL)
    time.sleep(0.3)
    done = oned.transfer(8, clone(site, 8))
    assert done.ok, done.reason
    check_made(site, nodes["node1"], 8)


def test_a_run_that_fails_leaves_none(site: Site, oned: Oned, nodes: dict[str, SshHost]) -> None:
    """What a failed run has used is not used again."""
    assert oned.transfer(7, clone(site, 7)).ok
    (first,) = sessions(nodes["node1"])
    assert not oned.transfer(8, FAILING).ok
    wait_until(lambda: not alive(first))
    assert oned.transfer(9, clone(site, 9)).ok


@pytest.mark.parametrize(
    "victim",
    ["session", *(pytest.param(name, marks=pytest.mark.long) for name in ("tm-worker", "tm-warm"))],
)
def test_killed_users(site: Site, oned: Oned, nodes: dict[str, SshHost], victim: str) -> None:
    """Whoever is killed in mid-copy: one reply, the session ends, and the next run is fine."""
    host = nodes["node1"]
    assert oned.transfer(7, clone(site, 7)).ok
    (first,) = sessions(host)
    disk = f"node1:{site.vm_dir(8)}/images/disk.0"
    oned.submit(8, f"CLONE fe:{site.images}/long.img {disk}\n")
    wait_until(lambda: list(host.path(site.vm_dir(8)).rglob(".tm-*.part")))
    assert sessions(host) == {first}
    named = [pid for pid in descendants(oned.process.pid) if name(pid) == victim]
    for pid in [first] if victim == "session" else named:
        os.kill(pid, signal.SIGKILL)
    reply = oned.wait_reply(8)
    assert reply.ok == (victim == "tm-warm"), reply
    wait_until(lambda: not alive(first), 5)
    assert oned.transfer(9, clone(site, 9)).ok


def test_the_end_of_the_driver(site: Site, oned: Oned, nodes: dict[str, SshHost]) -> None:
    """When the driver ends, so do sessions that were kept."""
    assert oned.transfer(7, clone(site, 7)).ok
    (first,) = sessions(nodes["node1"])
    oned.finalize()
    wait_until(lambda: not alive(first))
