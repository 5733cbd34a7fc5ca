"""Hosts, an inventory and a front-end directory for tests that go over ssh."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import SshHost, close_masters, make_key, missing_for_hosts, write_inventory


@pytest.fixture(scope="session")
def control_path_dir() -> Iterator[Path]:
    """Give a short directory for ssh's control sockets; masters end with the session."""
    directory = Path(tempfile.mkdtemp(prefix="tmcp"))
    yield directory
    close_masters(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory that is there on front-end and hosts, with other contents on each."""
    return tmp_path_factory.mktemp("world") / "cloud"


@pytest.fixture(scope="session")
def nodes(cloud: Path) -> Iterator[dict[str, SshHost]]:
    """Give two running hosts, ``node1`` and ``node2``."""
    reason = missing_for_hosts()
    if reason:
        pytest.skip(reason)
    key = cloud.parent / "user_key"
    make_key(key)
    hosts = {
        f"node{number}": SshHost(
            name=f"node{number}",
            address=f"127.0.0.{number + 1}",
            directory=cloud.parent / f"node{number}",
            cloud=cloud,
            user_key=key,
        )
        for number in (1, 2)
    }
    try:
        for host in hosts.values():
            host.start()
        yield hosts
    finally:
        for host in hosts.values():
            host.stop()


@pytest.fixture(scope="session")
def inventory(nodes: dict[str, SshHost], cloud: Path, control_path_dir: Path) -> Path:
    """Give an inventory file of the hosts."""
    return write_inventory(cloud.parent / "inventory.ini", nodes.values(), control_path_dir)


@pytest.fixture
def front_end(cloud: Path) -> Iterator[Path]:
    """Give the front-end's own contents of ``cloud``, empty for each test."""
    yield cloud
    for entry in cloud.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
