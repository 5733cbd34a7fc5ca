"""A VM's whole life under a driver that is started as oned starts it, in each storage model.

The scripts are those that a real oned wrote; only directories are replaced.
"""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.hosts import SshHost
from tests.support.interpreters import oldest_minor_of_hosts, oldest_of_hosts
from tests.support.oned import Oned
from tests.support.site import Site, tm_ansible

MIB = 1024 * 1024


def make_images(directory: Path) -> dict[str, str]:
    """Make the three images that the scripts name, one of them sparse; give their digests."""
    (directory / "base.img").write_bytes(os.urandom(3 * MIB))
    with (directory / "data.img").open("wb") as file:
        file.seek(64 * MIB)
        file.write(os.urandom(MIB))
    (directory / "keep.img").write_bytes(os.urandom(MIB))
    return {path.name: digest(path) for path in directory.iterdir()}


def digest(path: Path) -> str:
    """Give the SHA-256 of a file, links followed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_swap(path: Path) -> bool:
    """Tell whether util-linux takes a file for swap space."""
    return subprocess.run(["swaplabel", str(path)], check=False).returncode == 0


def names(directory: Path) -> list[str]:
    """Give what is in a directory, hidden files included; nothing if there is none."""
    return sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []


def carry(oned: Oned, vm_id: int, script: str) -> list[str]:
    """Have a script carried out; it must succeed and say at least one line an action."""
    done = oned.transfer(vm_id, script)
    assert done.ok, (done.reason, oned.lines)
    actions = [line for line in script.splitlines() if line]
    assert len(done.log) >= len(actions), done.log
    return done.log


def for_vm(script: str, vm_id: int) -> str:
    """Turn a script of another VM into one of ``vm_id``: oned gave each phase its own VM."""
    for other in range(3):
        script = script.replace(f"/var//{other}/", f"/var//{vm_id}/")
        script = script.replace(f"/var/{other}/", f"/var/{vm_id}/")
        script = script.replace(f"/var/{other}\n", f"/var/{vm_id}\n")
    return script


# Lives with hosts start their runs warm, that of nfs cold.
WARM = "engine: {warm: true}\n"
DISKS = ["disk.0", "disk.1", "disk.2", "disk.3"]


@pytest.fixture
def nfs(tmp_path: Path) -> Site:
    """Give a site whose VM directory every host shares."""
    return Site(tmp_path, "nfs").install()


@pytest.mark.warm
def test_nfs_life(nfs: Site) -> None:
    """Shared VM_DIR: stop and resume move nothing, and the saved disk remains."""
    digests = make_images(nfs.images)
    images = nfs.vm_dir(1) / "images"
    with nfs.start() as oned:
        log = carry(oned, 1, for_vm(nfs.script("prolog"), 1))
        assert log[0].startswith("CLONE fe: copied base.img to disk.0, 3")
        assert digest(images / "disk.0") == digests["base.img"]
        assert (images / "disk.1").readlink() == nfs.images / "data.img"
        assert is_swap(images / "disk.2")
        assert (images / "disk.2").stat().st_size == 16 * MIB
        assert (images / "disk.0").stat().st_mode & 0o222 == 0o222
        carry(oned, 1, for_vm(nfs.script("prolog"), 1))
        before = names(images)
        assert before == DISKS
        for phase in ("stop", "resume", "migrate"):
            carry(oned, 1, for_vm(nfs.script(phase), 1))
            assert names(images) == before
        (images / "disk.3").write_bytes(b"what the VM wrote")
        carry(oned, 1, for_vm(nfs.script("epilog"), 1))
        assert not images.exists()
        assert (nfs.vm_dir(1) / "disk.3").read_bytes() == b"what the VM wrote"
        carry(oned, 1, for_vm(nfs.script("epilog"), 1))
    assert digests == {path.name: digest(path) for path in nfs.images.iterdir()}


@pytest.fixture
def ssh(front_end: Path, inventory: Path, tmp_path: Path) -> Site:
    """Give a site that shares nothing with its hosts."""
    return Site(front_end / tmp_path.name, "ssh").install(WARM, inventories=[inventory])


def test_ssh_life(ssh: Site, nodes: dict[str, SshHost]) -> None:
    """Nothing shared: images go to a host, home on stop, to another host; the saved one stays."""
    live_between_hosts(ssh, nodes)


def live_between_hosts(ssh: Site, nodes: dict[str, SshHost]) -> None:
    """Carry a VM through its life on hosts, and look at its images after each phase."""
    digests = make_images(ssh.images)
    images = ssh.vm_dir(1) / "images"
    on = {name: host.path(images) for name, host in nodes.items()}
    with ssh.start() as oned:
        log = carry(oned, 1, for_vm(ssh.script("prolog"), 1))
        assert log[0].startswith("CLONE node1: copied base.img from fe to disk.0, 3")
        assert names(on["node1"]) == DISKS
        assert digest(on["node1"] / "disk.0") == digests["base.img"]
        assert digest(on["node1"] / "disk.1") == digests["data.img"]
        assert not (on["node1"] / "disk.1").is_symlink()
        assert (on["node1"] / "disk.1").stat().st_blocks * 512 < 2 * MIB
        assert is_swap(on["node1"] / "disk.2")
        assert not images.exists()
        disks = {name: digest(on["node1"] / name) for name in DISKS}

        carry(oned, 1, for_vm(ssh.script("stop"), 1))
        assert not on["node1"].exists()
        assert {name: digest(images / name) for name in names(images)} == disks

        carry(oned, 1, for_vm(ssh.script("resume"), 1))
        assert not images.exists()
        assert {name: digest(on["node1"] / name) for name in names(on["node1"])} == disks

        carry(oned, 1, for_vm(ssh.script("migrate"), 1))
        assert not on["node1"].exists()
        assert {name: digest(on["node2"] / name) for name in names(on["node2"])} == disks

        epilog = for_vm(ssh.script("epilog"), 1).replace("node1:", "node2:")
        carry(oned, 1, epilog)
        assert not on["node2"].exists()
        assert digest(ssh.vm_dir(1) / "disk.3") == digests["keep.img"]
        carry(oned, 1, epilog)


@pytest.fixture
def old(front_end: Path, inventory: Path, tmp_path: Path) -> Site:
    """Give a site whose hosts have no newer Python than ansible-core asks for."""
    python = oldest_of_hosts()
    if python is None:
        pytest.skip(f"no Python 3.{oldest_minor_of_hosts()} is here, the oldest for hosts")
    program, more = tmp_path / "python3", tmp_path / "old.ini"
    program.write_text(f'#!/bin/sh\necho run >>{tmp_path}/runs\nexec {python} "$@"\n')
    program.chmod(0o755)
    more.write_text("".join(f"node{n} ansible_python_interpreter={program}\n" for n in (1, 2)))
    return Site(front_end / tmp_path.name, "ssh").install(WARM, inventories=[inventory, more])


@pytest.mark.warm
def test_life_with_the_oldest_python_on_hosts(
    old: Site, nodes: dict[str, SshHost], tmp_path: Path
) -> None:
    """Hosts with the oldest Python that this ansible-core allows do all that others do."""
    live_between_hosts(old, nodes)
    assert (tmp_path / "runs").read_text().count("run") >= len(nodes)
    done = tm_ansible("check", "tm_ansible_ssh/tm_ansible_ssh.conf", ONE_LOCATION=str(old.location))
    for name in nodes:
        assert re.search(rf"{name}.*Python 3\.{oldest_minor_of_hosts()}\.", done.stdout), done


@pytest.fixture
def shared(front_end: Path, inventory: Path, tmp_path: Path) -> Site:
    """Give a site whose hosts see the image repository, and nothing else of the front-end's."""
    return Site(front_end / tmp_path.name, "shared").install(WARM, inventories=[inventory])


@pytest.mark.long  # in short: each action of that model in faults/test_hostile_names.py
def test_shared_life(shared: Site, nodes: dict[str, SshHost], tmp_path: Path) -> None:
    """The guide's third choice: links and copies are made on the host; saving crosses hosts."""
    repository = tmp_path / "repository"
    repository.mkdir()
    digests = make_images(repository)
    images = shared.vm_dir(1) / "images"
    on = {name: host.path(images) for name, host in nodes.items()}

    def script(phase: str) -> str:
        return for_vm(shared.script(phase), 1).replace(str(shared.images), str(repository))

    with shared.start() as oned:
        carry(oned, 1, script("prolog"))
        assert digest(on["node1"] / "disk.0") == digests["base.img"]
        assert (on["node1"] / "disk.1").readlink() == repository / "data.img"
        assert is_swap(on["node1"] / "disk.2")
        carry(oned, 1, script("stop"))
        assert names(images) == DISKS
        assert (images / "disk.1").is_symlink()
        carry(oned, 1, script("resume"))
        carry(oned, 1, script("migrate"))
        assert names(on["node2"]) == DISKS
        carry(oned, 1, script("epilog").replace("node1:", "node2:"))
        assert digest(shared.vm_dir(1) / "disk.3") == digests["keep.img"]
        assert not any(directory.exists() for directory in on.values())


@pytest.mark.warm
def test_dummy_life(tmp_path: Path) -> None:
    """The dummy model says what it would do, succeeds, and touches nothing."""
    dummy = Site(tmp_path, "dummy").install()
    with dummy.start() as oned:
        for phase in ("prolog", "stop", "resume", "migrate", "epilog"):
            log = carry(oned, 1, for_vm(dummy.script(phase), 1))
            assert "would" in log[0]
    assert names(dummy.vm_dir(1)) == [f"transfer.{number}" for number in range(5)]


def test_missing_source_is_told_in_one_line(ssh: Site, nodes: dict[str, SshHost]) -> None:
    """The reason names action, host, path and place; the block stands in oned's log."""
    line = f"CLONE fe:{ssh.images}/nosuch.img node1:{ssh.vm_dir(5)}/images/disk.0"
    with ssh.start() as oned:
        done = oned.transfer(5, line)
        assert not done.ok
        assert done.reason.startswith("CLONE node1: ")
        assert f"{ssh.images}/nosuch.img" in done.reason
        assert "no such file" in done.reason.lower()
        oned.wait_log(-1, "ERROR MESSAGE ------>8--")
    assert names(nodes["node1"].path(ssh.vm_dir(5))) in ([], ["images"])


def test_first_failure_ends_the_script(ssh: Site, nodes: dict[str, SshHost]) -> None:
    """A failing MV keeps the DELETE behind it from running, though it is for another host."""
    images = ssh.vm_dir(6) / "images"
    for host in nodes.values():
        host.path(images).mkdir(parents=True)
        (host.path(images) / "disk.0").write_bytes(b"precious")
    script = f"MV node1:{images}/nosuch fe:{ssh.vm_dir(6)}/disk.1\nDELETE node2:{images}\n"
    with ssh.start() as oned:
        done = oned.transfer(6, script)
        assert not done.ok
        assert done.reason.startswith("MV fe: ")
    assert (nodes["node2"].path(images) / "disk.0").read_bytes() == b"precious"


@pytest.mark.warm
def test_images_are_made_on_a_host(ssh: Site, nodes: dict[str, SshHost]) -> None:
    """MKIMAGE makes file systems on the host, from nothing and from the front-end's files."""
    files = ssh.base / "files"
    files.mkdir()
    (files / "hello").write_text("from the front-end\n")
    images = ssh.vm_dir(8) / "images"
    script = (
        f"MKIMAGE fe:{files} node1:{images}/disk.0\n"
        f"MKIMAGE 16 ext3 node1:{images}/disk.1\n"
        f"MKIMAGE 8 raw node1:{images}/disk.2\n"
    )
    there = nodes["node1"].path(images)
    with ssh.start() as oned:
        carry(oned, 8, script)
        before = {name: (there / name).stat().st_mtime_ns for name in names(there)}
        carry(oned, 8, script)
    assert {name: (there / name).stat().st_mtime_ns for name in names(there)} == before
    for name in ("disk.0", "disk.1"):
        subprocess.run(["e2fsck", "-fn", str(there / name)], check=True, capture_output=True)
    shown = ["debugfs", "-R", "cat /hello", str(there / "disk.0")]
    assert subprocess.run(shown, check=True, capture_output=True).stdout == b"from the front-end\n"
    assert (there / "disk.2").stat().st_size == 8 * MIB


@pytest.mark.long
def test_source_on_a_third_host(ssh: Site, nodes: dict[str, SshHost]) -> None:
    """A disk whose source names another host is fetched from there, whatever its model."""
    source = nodes["node2"].path(ssh.images / "far.img")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(os.urandom(MIB))
    disk = ssh.vm_dir(9) / "images" / "disk.0"
    with ssh.start() as oned:
        log = carry(oned, 9, f"CLONE node2:{ssh.images}/far.img node1:{disk}\n")
    assert log[0].startswith("CLONE node1: going ")
    assert "from node2 to disk.0" in log[-1]
    assert digest(nodes["node1"].path(disk)) == digest(source)
