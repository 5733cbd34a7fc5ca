"""A host that never answers does not hold up the others."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.copies import World
from tests.support.oned import Oned
from tests.support.site import Site

SETTINGS = """
engine: {warm: true}
concurrency: 10
limits: {connect_seconds: 30}
"""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Give a port where connections are taken and nobody ever says a word."""
    with socket.create_server(("127.0.0.200", 0), backlog=64) as server:
        yield server


@pytest.fixture
def oned(remote: World, inventory: Path, silent: socket.socket, tmp_path: Path) -> Iterator[Oned]:
    """Give a driver for node1, which is well, and two hosts that are not."""
    address, port = silent.getsockname()
    dead = tmp_path / "dead.ini"
    words = f"ansible_host={address} ansible_port={port} ansible_ssh_common_args='-F none'"
    dead.write_text(f"dead {words}\nghost {words}\n")
    allowed = f"allowed_dirs: [{remote.cloud}/var]\n"
    site = Site(tmp_path / "site", "ssh").install(SETTINGS + allowed, [inventory, dead])
    with site.start() as driver:
        driver.wait_warm()
        yield driver


@pytest.mark.root
def test_a_black_holed_host_delays_no_other(oned: Oned, remote: World) -> None:
    """Behind twenty transfers to it, and twenty to another, five to a good host end at once."""
    for vm_id in range(40):
        host = "dead" if vm_id < 20 else "ghost"
        oned.submit(vm_id, f"DELETE {host}:{remote.cloud}/var/{vm_id}/images\n")
    oned.wait_log(5, "waiting: 5 transfers are at work at dead already")
    oned.wait_log(23, "waiting: 3 transfers are at work at ghost already")
    for vm_id in range(200, 205):
        oned.submit(vm_id, f"MKSWAP 1 node1:{remote.cloud}/var/{vm_id}/disk.1\n")
    for vm_id in range(200, 205):
        assert oned.wait_reply(vm_id, 25).ok
        assert remote.outside("node1", remote.cloud / f"var/{vm_id}/disk.1").exists()
    answered = [vm_id for vm_id in range(40) if oned.replies(vm_id)]
    assert answered == [], "the good host had to wait for the end of the others"
