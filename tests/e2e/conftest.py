"""Hosts, an inventory and a front-end directory for tests that go over ssh."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import filesystems
from tests.support.copies import World, make_originals
from tests.support.hosts import SshHost, close_masters, make_key, missing_for_hosts, write_inventory


@pytest.fixture(scope="session")
def control_path_dir() -> Iterator[Path]:
    """Give a short directory for ssh's control sockets; masters end with the session."""
    directory = Path(tempfile.mkdtemp(prefix="tmcp"))
    yield directory
    close_masters(directory)
    shutil.rmtree(directory, ignore_errors=True)  # a master that ends removes its socket


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


@pytest.fixture
def chance() -> random.Random:
    """Give what decides where a test leaves it to chance; ``TM_SEED`` repeats it."""
    seed = int(os.environ.get("TM_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"TM_SEED={seed}")  # noqa: T201 - shown where a test fails
    return random.Random(seed)  # noqa: S311 - to be repeated, not to be secret


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give an image and a VM's directory that are large enough to be cut."""
    return make_originals(tmp_path_factory.mktemp("originals"))


@pytest.fixture
def remote(
    front_end: Path,
    nodes: dict[str, SshHost],
    inventory: Path,
    originals: dict[str, Path],
    control_path_dir: Path,
) -> Iterator[World]:
    """Give two hosts and a front-end without files, in the model ssh."""
    words = ("--model", "ssh", "-i", str(inventory))
    yield World(front_end, nodes, words, originals, control_path_dir)
    for host in nodes.values():
        shutil.rmtree(host.private / "var", ignore_errors=True)


@pytest.fixture
def local(front_end: Path, originals: dict[str, Path], tmp_path: Path) -> Iterator[World]:
    """Give a front-end with a small second file system at ``var/to``, in the model nfs."""
    if reason := filesystems.missing_for_file_systems(("ext4",)):
        pytest.skip(reason)
    with filesystems.front_end() as place:
        to = front_end / "var" / "to"
        filesystems.mount(place, "ext4", tmp_path / "ext4.img", to, mebibytes=256)
        yield World(front_end, {}, ("--model", "nfs"), originals, tmp_path, place)
