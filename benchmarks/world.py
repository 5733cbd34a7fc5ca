"""What the benchmarks run on: a host with an sshd of its own, a slow link to it, and a file system.

The host is as in the tests; by default it has an address of the loopback interface.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.hosts import SshHost, close_masters, make_key, missing_for_hosts, write_inventory

# For measurements between networks (RFC 2544, appendix C.2.2).
NEAR, FAR = "198.18.0.1", "198.18.0.2"
INTERFACE = "tmbench0"


@dataclass(frozen=True, slots=True)
class Reached:
    """A running host, and how it is reached.

    Attributes:
        host: the far side.
        inventory: for Ansible.
        options: of ssh.
    """

    host: SshHost
    inventory: Path
    options: tuple[str, ...]

    @property
    def ssh(self) -> tuple[str, ...]:
        """Words of an ssh command, the host included."""
        return ("ssh", *self.options, f"root@{self.host.address}")


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a directory that is gone after the block; its path is short, for ssh's sockets."""
    directory = Path(tempfile.mkdtemp(prefix="tmbench"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def running_host(
    directory: Path, name: str, cloud: Path, address: str = "127.0.0.2", network: str = ""
) -> Iterator[Reached]:
    """Give a host that ends with the block; end the program where there can be none.

    Args:
        directory: for its files and keys.
        name: in the inventory.
        cloud: the path that is the host's own.
        address: where it listens.
        network: a network namespace to be in, or none.
    """
    if reason := missing_for_hosts():
        sys.exit(reason)
    control, key = directory / f"cp-{name}", directory / f"key-{name}"
    control.mkdir()
    make_key(key)
    port = 2222 if network else 0
    host = SshHost(name, address, directory / name, cloud, key, port=port, network=network)
    try:
        host.start()
        inventory = write_inventory(directory / f"{name}.ini", [host], control)
        options = ("-i", str(key), "-o", f"Port={host.port}", "-o", "IdentitiesOnly=yes")
        known = ("-o", f"UserKnownHostsFile={host.known_hosts}")
        yield Reached(host, inventory, (*options, *known))
    finally:
        close_masters(control)
        host.stop()


@contextmanager
def link(megabits: int = 0) -> Iterator[str]:
    """Give a network namespace behind a link of its own, ``NEAR`` to ``FAR``.

    Args:
        megabits: what it lets through each way, in Mbit/s; 0 for as much as it can.

    Raises:
        CalledProcessError: this machine cannot make one; its stderr tells why.
    """
    name = f"tmbench{os.getpid()}"
    inside = ("ip", "netns", "exec", name)
    shaped = ("root", "tbf", "rate", f"{megabits}mbit", "burst", "128kb", "latency", "50ms")
    _do("ip", "netns", "add", name)
    try:
        _do("ip", "link", "add", INTERFACE, "type", "veth", "peer", "inside", "netns", name)
        _do("ip", "address", "add", f"{NEAR}/30", "dev", INTERFACE)
        _do("ip", "link", "set", INTERFACE, "up")
        _do(*inside, "ip", "address", "add", f"{FAR}/30", "dev", "inside")
        _do(*inside, "ip", "link", "set", "inside", "up")
        if megabits:
            _do("tc", "qdisc", "add", "dev", INTERFACE, *shaped)
            _do(*inside, "tc", "qdisc", "add", "dev", "inside", *shaped)
        yield name
    finally:
        subprocess.run(["ip", "link", "delete", INTERFACE], check=False, capture_output=True)
        _do("ip", "netns", "delete", name)


def carried() -> int:
    """Give the bytes that the link has carried to its far end."""
    return int(Path(f"/sys/class/net/{INTERFACE}/statistics/tx_bytes").read_text())


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


def missing_for_links() -> str | None:
    """Tell why no link can be made here, or give None."""
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            return f"a link needs the program {program} (package iproute2)"
    try:
        with link(100):
            return None
    except subprocess.CalledProcessError as error:
        return f"a link cannot be made here: {error.stderr.strip()}"


def machine() -> list[str]:
    """Give lines that say when, where and with what the figures were measured."""
    words = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    distribution = platform.freedesktop_os_release()["PRETTY_NAME"]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    programs = [_first_line(*words) for words in (("ssh", "-V"), ("rsync", "--version"))]
    when, model = time.strftime("%Y-%m-%d"), words[0] if words else platform.machine()
    hardware = f"{model}, {os.cpu_count()} cores, {memory} GiB"
    return [
        f"Measured on {when}: {hardware}, {distribution}, Linux {platform.release()},",
        f"Python {platform.python_version()}, {', '.join(versions)},",
        f"{', '.join(filter(None, [*programs, _first_line('tar', '--version')]))}.",
    ]


PACKAGES = ("ansible-core", "ansible-runner")


def _first_line(*words: str) -> str:
    if shutil.which(words[0]) is None:
        return ""
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    line = " ".join((done.stdout or done.stderr).splitlines()[0].split())
    return re.split(",| protocol", line)[0]
