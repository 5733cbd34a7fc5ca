"""The path policy over real ssh, and the example of few rights with real users and a real sudo."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import tm_ansible
from tests.support.hosts import SshHost, close_masters, make_key, missing_for_hosts, write_inventory
from tests.support.oned import ROOT
from tests.support.site import Site

SUDOERS = ROOT / "examples" / "sudoers" / "tm_ansible"
SECRET = "s3cret-pw"  # noqa: S105 - of nobody


@pytest.fixture
def ssh(front_end: Path, inventory: Path, tmp_path: Path) -> Site:
    """Give a site that shares nothing with its hosts, with an image."""
    site = Site(front_end / tmp_path.name, "ssh").install(inventories=[inventory])
    (site.images / "base.img").write_bytes(b"image")
    return site


def test_a_transfer_for_another_vm_is_refused_before_anything_runs(
    ssh: Site, nodes: dict[str, SshHost]
) -> None:
    """The reason begins with the line; the actions before it have not run either."""
    own, other = ssh.vm_dir(7) / "images", ssh.vm_dir(8) / "images"
    with ssh.start() as oned:
        for line in (
            f"CLONE fe:{ssh.images}/base.img node1:{other}/disk.0",
            f"MKSWAP 1 node1:{other}/disk.0",
            f"MV node1:{other} fe:{ssh.vm_dir(7)}",
            f"MV node1:{own} fe:{ssh.vm_dir(8)}",
            f"DELETE node1:{other}",
            f"DELETE fe:{ssh.vm_dir(8)}",
        ):
            done = oned.transfer(7, f"MKSWAP 1 node1:{own}/disk.2\n{line}\n")
            assert not done.ok
            assert done.reason.startswith("line 2: refused the "), done.reason
            assert "it is VM 8's, and this is for VM 7" in done.reason
    assert not nodes["node1"].path(own).exists()


@pytest.mark.warm
def test_the_host_judges_by_its_own_links(ssh: Site, nodes: dict[str, SshHost]) -> None:
    """A link that is only there leads out, and to another VM; the script's words are innocent."""
    there = nodes["node1"].path
    victim = ssh.base / "victim"
    for directory in (victim, ssh.vm_dir(8) / "images"):
        there(directory).mkdir(parents=True)
        (there(directory) / "disk.0").write_text("mine")
    there(ssh.vm_dir(7)).mkdir()
    (there(ssh.vm_dir(7)) / "out").symlink_to(victim)
    (there(ssh.vm_dir(7)) / "other").symlink_to("../8/images")
    vm = ssh.vm_dir(7)
    with ssh.start() as oned:
        for line, reason in (
            (
                f"CLONE fe:{ssh.images}/base.img node1:{vm}/out/disk.0",
                "not in the directory of VM 7",
            ),
            (f"MKSWAP 1 node1:{vm}/other/disk.0", "it is VM 8's"),
            (f"MKIMAGE 1 ext4 node1:{vm}/out/disk.0", "not in the directory of VM 7"),
            (f"DELETE node1:{vm}/out/disk.0", "not in the directory of VM 7"),
            (f"DELETE node1:{vm}/other/disk.0", "it is VM 8's"),
            (f"MV node1:{vm}/other/disk.0 fe:{vm}/disk.0", "it is VM 8's"),
            (f"CLONE node1:/etc/hostname node2:{vm}/images/disk.0", "/etc is the system's"),
            (f"CLONE fe:{ssh.etc}/settings.yml node1:{vm}/images/disk.0", "keeps"),
        ):
            done = oned.transfer(7, line + "\n")
            assert not done.ok
            assert reason in done.reason, done.reason
    assert (there(victim) / "disk.0").read_text() == "mine"
    assert (there(ssh.vm_dir(8)) / "images" / "disk.0").read_text() == "mine"


@pytest.mark.warm
def test_a_host_may_have_directories_of_its_own(
    ssh: Site, nodes: dict[str, SshHost], inventory: Path, tmp_path: Path
) -> None:
    """Variables of the inventory widen the policy for one host, by directory and by verb."""
    more = tmp_path / "more.yml"
    elsewhere, scratch = ssh.base / "elsewhere", ssh.base / "scratch"
    more.write_text(
        f"all: {{hosts: {{node1: {{tm_allowed_dirs: ['{elsewhere}'], "
        f"tm_allowed_for: {{MKSWAP: ['{scratch}']}}}}}}}}\n"
    )
    ssh.install(inventories=[inventory, more])
    with ssh.start() as oned:
        for script, ok in (
            (f"MKSWAP 1 node1:{elsewhere}/7/disk.2", True),
            (f"MKSWAP 1 node1:{scratch}/disk.2", True),
            (f"MKIMAGE 1 raw node1:{scratch}/disk.3", False),
            (f"MKSWAP 1 node2:{scratch}/disk.2", False),
            (f"MKSWAP 1 node1:{elsewhere}/8/disk.2", False),
        ):
            done = oned.transfer(7, script + "\n")
            assert done.ok == ok, done
            assert ok or "refused the destination" in done.reason
    assert nodes["node1"].path(scratch / "disk.2").exists()


@pytest.mark.warm
def test_a_source_is_judged_by_its_own_host_s_variables(
    ssh: Site, nodes: dict[str, SshHost], inventory: Path, tmp_path: Path
) -> None:
    """Where an inventory names repositories and directories for some hosts, each has its own."""
    more, elsewhere = tmp_path / "more.yml", ssh.base / "elsewhere"
    more.write_text(
        f"""all:
  hosts:
    localhost:
      ansible_connection: local
      tm_source_dirs: ['{ssh.images}']
      tm_own_paths: ['{ssh.images}/kept']
    node1: {{tm_source_dirs: [/nowhere], tm_allowed_dirs: ['{elsewhere}']}}
    node2: {{tm_source_dirs: ['{ssh.base}/other']}}
"""
    )
    ssh.install(inventories=[inventory, more])
    for path in (ssh.base / "other" / "x.img", ssh.base / "files" / "motd", ssh.images / "kept/x"):
        path.parent.mkdir()
        path.write_text("no image of ours")
    (ssh.images / "files").mkdir()
    nodes["node2"].path(ssh.base / "other").mkdir(parents=True)
    nodes["node2"].path(ssh.base / "other" / "base.img").write_bytes(b"image")
    moved = nodes["node1"].path(elsewhere / "7" / "images")
    moved.mkdir(parents=True)
    (moved / "disk.0").write_bytes(b"a disk")
    fe, there = f"fe:{ssh.base}", f"node1:{elsewhere}/7/images"
    outside = f"it is not below a source directory ({ssh.images})"
    with ssh.start() as oned:
        for line, reason in (
            (f"CLONE {fe}/other/x.img node2:{ssh.vm_dir(7)}/disk.1", outside),
            (f"MKIMAGE {fe}/files {there}/disk.1", outside),
            (f"CLONE {fe}/images/kept/x {there}/disk.1", f"keeps {ssh.images}/kept for itself"),
            (f"MV node2:{elsewhere}/7/disk.9 {there}", "refused the source"),
        ):
            done = oned.transfer(7, line + "\n")
            assert not done.ok, done
            assert reason in done.reason
        done = oned.transfer(
            7,
            f"CLONE {fe}/images/base.img {there}/disk.1\n"
            f"CLONE node2:{ssh.base}/other/base.img {there}/disk.2\n"
            f"MKIMAGE {fe}/images/files {there}/disk.3\n"
            f"MV {there} fe:{ssh.vm_dir(7)}\n",
        )
        assert done.ok, done
    assert not moved.exists()
    assert {path.name for path in (ssh.vm_dir(7) / "images").iterdir()} == {
        *("disk.0", "disk.1", "disk.2", "disk.3")
    }


def test_no_user_of_a_url_is_shown(ssh: Site) -> None:
    """Neither in the log and the reason, nor in what playbooks get as the script's words."""
    (ssh.etc / "show.yml").write_text(
        "- hosts: '{{ tm_host }}'\n  gather_facts: false\n  tasks:\n"
        "    - name: Show the words\n"
        "      one.tm.log: {message: '{{ tm_arguments | join(\" \") }}'}\n"
    )
    action_map = ssh.etc / "tm_ansible_ssh.conf"
    action_map.write_text(action_map.read_text().replace("ssh/ln.yml", "show.yml"))
    url = f"http://somebody:{SECRET}@127.0.0.1:1/a.img?token={SECRET}"
    disk = f"node1:{ssh.vm_dir(7)}/images/disk.0"
    with ssh.start() as oned:
        log = oned.transfer(7, f"LN {url} {disk}\n").log
        assert f"LN node1: http://***@127.0.0.1:1/a.img?*** {disk}" in log[0]
        done = oned.transfer(7, f"CLONE {url} {disk}\n")
        assert "refused the host 127.0.0.1" in done.reason
        shown = "\n".join(oned.lines)
    assert SECRET not in shown
    assert "somebody" not in shown


@dataclass(frozen=True, slots=True)
class FewRights:
    """A host with the users and rights of the example.

    Attributes:
        host: where ``oneadmin`` logs in.
        vms: VM_DIR, which belongs to ``images``.
        inventory: file.
        image: a source on the front-end.
    """

    host: SshHost
    vms: Path
    inventory: Path
    image: Path

    def clone(self, *places: str) -> "subprocess.CompletedProcess[str]":
        """Clone the image to the host, or what is at one place to another."""
        places = places or (f"localhost:{self.image}", f"node1:{self.vms}/7/images/disk.0")
        words = ("run", "CLONE", *places, "--model", "ssh", "-i", str(self.inventory))
        return tm_ansible(*words, location=self.vms.parent)

    def sudo(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a program as ``oneadmin``, with sudo."""
        inside = ["nsenter", f"--mount=/proc/{self.host.pid}/ns/mnt", "--"]
        as_user = ["setpriv", "--reuid=64001", "--regid=64001", "--clear-groups"]
        command = [*inside, *as_user, "sudo", "-n", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")


def with_users(directory: Path) -> dict[str, Path]:
    """Make files of users and rights with those of the example; give them by their places."""
    lines = {
        "passwd": "oneadmin:x:64001:64001::{0}:/bin/sh\n"
        "images:x:64002:64002::/:/usr/sbin/nologin\n",
        "group": "oneadmin:x:64001:\nimages:x:64002:\n",
        "shadow": "oneadmin:*:19000:0:99999:7:::\nimages:*:19000:0:99999:7:::\n",
    }
    binds = {}
    for name, text in lines.items():
        path = directory / name
        path.write_text(Path("/etc", name).read_text() + text.format(directory))
        path.chmod(0o640 if name == "shadow" else 0o644)
        binds[f"/etc/{name}"] = path
    (directory / "sudoers.d").mkdir(mode=0o755)
    shutil.copy(SUDOERS, directory / "sudoers.d" / "tm_ansible")
    (directory / "sudoers.d" / "tm_ansible").chmod(0o440)
    return {**binds, "/etc/sudoers.d": directory / "sudoers.d"}


@pytest.fixture
def few() -> Iterator[FewRights]:
    """Give such a host."""
    reason = missing_for_hosts()
    if reason or not shutil.which("sudo"):
        pytest.skip(reason or "needs sudo")
    if not Path("/etc/sudoers.d").is_dir():
        pytest.skip("needs /etc/sudoers.d")
    # Users without rights cannot enter pytest's own directories.
    top = Path(tempfile.mkdtemp(prefix="tmfew"))
    top.chmod(0o755)
    vms = top / "cloud" / "var"
    make_key(top / "key")
    (top / "node1").mkdir()
    variables = {"ansible_user": "oneadmin", "ansible_become": "true"}
    host = SshHost(
        name="node1",
        address="127.0.0.2",
        directory=top / "node1",
        cloud=top / "cloud",
        user_key=top / "key",
        variables={**variables, "ansible_become_user": "images"},
        binds=with_users(top / "node1"),
    )
    try:
        host.start()
        host.path(vms).mkdir()
        host.path(vms).chmod(0o750)
        os.chown(host.path(vms), 64002, 64002)
        (top / "base.img").write_bytes(os.urandom(1 << 20))
        vms.mkdir()
        inventory = write_inventory(top / "hosts.ini", [host], top)
        yield FewRights(host, vms, inventory, top / "base.img")
    finally:
        close_masters(top)
        host.stop()
        shutil.rmtree(top)


def test_the_example_of_sudoers_is_valid() -> None:
    """``visudo`` has nothing to say of it."""
    visudo = shutil.which("visudo", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not visudo:
        pytest.skip("needs visudo")
    done = subprocess.run(
        [visudo, "--check", "--strict", "--file", str(SUDOERS)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.root
def test_few_rights_are_enough(few: FewRights) -> None:
    """A user who may only become the owner of VM_DIR brings an image there, and is nobody else."""
    done = few.clone()
    assert done.returncode == 0, done.stdout + done.stderr
    disk = few.host.path(few.vms / "7" / "images" / "disk.0")
    assert disk.read_bytes() == few.image.read_bytes()
    assert (disk.stat().st_uid, disk.parent.stat().st_uid) == (64002, 64002)
    assert few.sudo("-u", "images", "/bin/sh", "-c", "id -un").stdout == "images\n"
    shell = ("/bin/sh", "-c", "id")
    for words in (shell, ("-u", "nobody", *shell), ("-u", "images", "id")):
        refused = few.sudo(*words)
        assert refused.returncode != 0, refused.stdout
        assert "password is required" in refused.stderr or "not allowed" in refused.stderr


@pytest.mark.root
def test_without_these_rights_nothing_is_done(few: FewRights) -> None:
    """It is the example that grants them."""
    few.host.run("rm", "/etc/sudoers.d/tm_ansible")
    done = few.clone()
    assert done.returncode != 0
    assert not few.host.path(few.vms / "7").exists()


@pytest.mark.root
def test_what_the_user_of_a_host_may_not_read_is_named(few: FewRights) -> None:
    """The reason is one line with the file, the user and the remedy."""
    secret = few.host.path(few.vms / "secret.img")
    secret.write_bytes(b"of root's")
    secret.chmod(0o600)
    done = few.clone(f"node1:{few.vms}/secret.img", f"localhost:{few.vms}/7/disk.0")
    assert done.returncode != 0
    reason = (
        f"the source {few.vms}/secret.img is not readable for user number 64002; let that user "
        "read it, or become one who may (setting ansible.become)"
    )
    assert reason in done.stdout + done.stderr
    assert not (few.vms / "7" / "disk.0").exists()
