"""Many transfers at once for many hosts: all are answered, and no host has more than its share."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from tests.support.site import Site

LIMIT = 2
PLAYBOOK = """\
- name: Be at work on a host for a while
  hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - name: Be there
      ansible.builtin.command:
        argv:
          - sh
          - -c
          - 'touch "$0"; while test ! -e "$1"; do sleep 0.1; done; sleep 0.2; rm "$0"'
          - "DIRECTORY/{{ tm_host }}.{{ tm_vm_id }}"
          - "GATE"
      changed_when: false
"""


@pytest.fixture
def at_work(tmp_path: Path) -> Path:
    """Give a directory in which a file stands for each run that is at work."""
    directory = tmp_path / "at work"
    directory.mkdir()
    return directory


def make_site(tmp_path: Path, at_work: Path, hosts: int) -> Site:
    """Give a site of many hosts, whose CLONE leaves its mark while it is at work.

    None ends before there is a file ``gate`` beside the directory of marks.
    """
    inventory = tmp_path / "hosts.ini"
    lines = [f"n{number} ansible_connection=local" for number in range(hosts)]
    inventory.write_text("[nodes]\n" + "\n".join(lines) + "\n")
    # More slots than the limit lets the hosts have: it is the limit that holds.
    slots = hosts * (LIMIT + 1)
    settings = f"engine: {{warm: true}}\ncopies: {{per_host: {LIMIT}}}\nconcurrency: {slots}\n"
    site = Site(tmp_path / "site", "ssh").install(settings, inventories=[inventory])
    (site.etc / "clone.yml").write_text(
        PLAYBOOK.replace("DIRECTORY", str(at_work)).replace("GATE", str(tmp_path / "gate"))
    )
    path = site.etc / "tm_ansible_ssh.conf"
    text = path.read_text().splitlines()
    text = ["CLONE = clone.yml" if line.startswith("CLONE") else line for line in text]
    path.write_text("\n".join(text) + "\n")
    return site


@contextmanager
def sampling(directory: Path) -> Iterator[Counter[str]]:
    """Look again and again how many are at work on each host; give the most for each."""
    most: Counter[str] = Counter()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.01):
            now = Counter(path.name.partition(".")[0] for path in directory.iterdir())
            for host, count in now.items():
                most[host] = max(most[host], count)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("count", "hosts"), [(12, 3), pytest.param(1000, 20, marks=pytest.mark.long)]
)
def test_many_at_once(tmp_path: Path, at_work: Path, count: int, hosts: int) -> None:
    """1,000 TRANSFERs at once over 20 hosts with a limit of 2 each: all answered, none starves."""
    site = make_site(tmp_path, at_work, hosts)
    with site.start() as oned, sampling(at_work) as most:
        oned.wait_warm()
        began = time.monotonic()
        for vm_id in range(count):
            disk = f"n{vm_id % hosts}:{site.vm_dir(vm_id)}/images/disk.0"
            oned.submit(vm_id, f"CLONE fe:{site.images}/a.img {disk}\n")
        wait_until(lambda: [most[f"n{number}"] for number in range(hosts)] == [LIMIT] * hosts, 120)
        (tmp_path / "gate").touch()
        for vm_id in range(count):
            reply = oned.wait_reply(vm_id, timeout=count)
            assert reply.ok, reply.reason
        print(f"{count} in {time.monotonic() - began:.0f} s")  # noqa: T201 - for who measures
        assert all(len(oned.replies(vm_id)) == 1 for vm_id in range(count))
    assert most == {f"n{number}": LIMIT for number in range(hosts)}
