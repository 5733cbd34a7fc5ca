"""Hosts that cannot be reached, go away, or are far: told as what they are, and harm no other."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.ground import Ground
from tests.faults.link import Link, Quality, link, missing_for_links
from tests.support import images
from tests.support.hosts import SshHost, make_key, write_inventory
from tests.support.processes import wait_until

Make = Callable[..., Ground]
Far = tuple[Ground, Link]

pytestmark = pytest.mark.root

CONNECT_SECONDS = 3
# What two log-ins at most take of processor time on a busy machine.
SLACK_SECONDS = 2


@contextmanager
def far_host(make_ground: Make, tmp_path: Path, quality: Quality, settings: str) -> Iterator[Far]:
    """Give a ground with a further host, ``node3``, behind a link."""
    if reason := missing_for_links():
        pytest.skip(reason)
    ground = make_ground(settings=settings, more=(tmp_path / "far.ini",), warm=True)
    node = ground.nodes["node1"]
    with link(quality) as way:
        host = SshHost(
            name="node3",
            address=way.address,
            directory=tmp_path / "node3",
            cloud=node.cloud,
            user_key=node.user_key,
            port=2222,
            network=way.network,
        )
        try:
            host.start()
            write_inventory(tmp_path / "far.ini", [host], ground.control_path_dir)
            yield replace_host(ground, host), way
        finally:
            way.plug()
            host.stop()


def replace_host(ground: Ground, host: SshHost) -> Ground:
    """Give a ground of one more host, which is the one that is copied to."""
    return replace(ground, nodes={**ground.nodes, host.name: host}, host=host.name)


REASONS = {
    "refused": r"\S+ refused the connection to port \d+: is sshd running there\?",
    "dropped": r"no answer: is it up, and is its ssh port open\?",
    "unknown": r"the name \S+ is unknown: check DNS, or give it an ansible_host",
    "otherkey": r"the host key is not the one known for it: check it and known_hosts",
    "stranger": r"ssh did not accept the key \(it takes publickey\): check the user and its",
}


@contextmanager
def full_port() -> Iterator[int]:
    """Give a port whose queue is full: the kernel drops what asks for more (listen(2))."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield port


def test_unreachable(make_ground: Make, tmp_path: Path, warm: bool) -> None:
    """Refused, dropped, unknown name, wrong host key, key not accepted: five human reasons."""
    inventory = tmp_path / "wrong.ini"
    ground = make_ground(
        settings=f"limits: {{connect_seconds: {CONNECT_SECONDS}}}\n", more=(inventory,), warm=warm
    )
    node = ground.nodes["node1"]
    make_key(tmp_path / "other_key")
    known = node.inventory_variables(ground.control_path_dir)
    other = node.known_hosts.read_text().split()[0]
    key = (tmp_path / "other_key.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"{other} {key}")
    strange = f"-o UserKnownHostsFile={tmp_path}/known_hosts -o GlobalKnownHostsFile=/dev/null"
    with full_port() as port:
        write_wrong(
            inventory,
            {
                "refused": {"ansible_host": "127.0.0.9", "ansible_port": "1"},
                "dropped": {"ansible_host": "127.0.0.1", "ansible_port": str(port)},
                "unknown": {"ansible_host": "no.such.host.invalid"},
                "otherkey": {**known, "ansible_ssh_common_args": strange},
                "stranger": {
                    **known,
                    "ansible_ssh_private_key_file": str(tmp_path / "other_key"),
                    "ansible_control_path_dir": str(tmp_path),
                },
            },
        )
        with ground.driver() as oned:
            for vm_id, (host, reason) in enumerate(REASONS.items(), 1):
                task = ground.task("MKSWAP", vm_id, host)
                begun = time.monotonic()
                oned.submit(vm_id, task.script)
                reply = oned.wait_reply(vm_id)
                took = time.monotonic() - begun
                assert re.match(f"MKSWAP {host}: cannot reach {host}: {reason}", reply.reason)
                assert took < CONNECT_SECONDS + (SLACK_SECONDS if warm else 3 * SLACK_SECONDS)
            ground.check_gone(oned)


def write_wrong(inventory: Path, hosts: dict[str, dict[str, str]]) -> None:
    """Write an inventory of hosts with a variable or two."""
    lines = [
        " ".join([name, *(f'{key}="{value}"' for key, value in variables.items())])
        for name, variables in hosts.items()
    ]
    inventory.write_text("\n".join(lines) + "\n")


GONE = "limits: {silence_seconds: 5}\ncopies: {bandwidth_per_host: 4}\n"


def test_host_gone(make_ground: Make, tmp_path: Path) -> None:
    """Host gone in mid-copy: FAILURE in time; others not delayed; the partial file swept later."""
    with far_host(make_ground, tmp_path, Quality(), GONE) as (ground, way):
        ground.size = 12 * images.MIB
        with ground.driver() as oned:
            task = ground.task("CLONE", 1)
            oned.submit(1, task.script)
            wait_until(lambda: ground.left_over(task))
            way.pull()
            pulled = time.monotonic()
            assert oned.transfer(2, ground.task("MKSWAP", 2, "node1").script).ok
            assert not oned.replies(1)
            reply = oned.wait_reply(1)
            assert time.monotonic() - pulled < 5 + SLACK_SECONDS
            assert reply.reason.startswith("CLONE node3: nothing heard for 5 s")
            way.plug()
            ground.check(oned, task, reply)


def test_slow_link(make_ground: Make, tmp_path: Path) -> None:
    """A slow link (8 Mbit/s, 2 % loss, 100 ms), a stall of 1 s: the copy succeeds."""
    quality = Quality(bits=8e6, loss=0.02, delay=0.05)
    check_slow(make_ground, tmp_path, quality, images.MIB, 1)


@pytest.mark.long
def test_very_slow_link(make_ground: Make, tmp_path: Path) -> None:
    """Slow link (1 Mbit/s, 2 % loss, 500 ms), a stall of 30 s: succeeds, with progress lines."""
    quality = Quality(bits=1e6, loss=0.02, delay=0.25)
    log = check_slow(make_ground, tmp_path, quality, 6 * images.MIB, 30)
    assert [line for line in log if re.search(r"\d %|\d+%", line)], log


def check_slow(
    make_ground: Make, tmp_path: Path, quality: Quality, size: int, stall: float
) -> list[str]:
    """Copy over a bad link that stalls, and check; give the log."""
    with far_host(make_ground, tmp_path, quality, "") as (ground, way):
        ground.size = size
        way.spoil()
        with ground.driver() as oned:
            task = ground.task("CLONE", 1)
            oned.submit(1, task.script)
            wait_until(lambda: ground.left_over(task), 60)
            way.pull()
            time.sleep(stall)
            assert not oned.replies(1)
            way.plug()
            reply = oned.wait_reply(1, 600)
            assert reply.ok, reply.reason
            ground.check(oned, task, reply)
            return oned.logs(1)
