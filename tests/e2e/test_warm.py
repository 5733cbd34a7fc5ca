"""Runs that start warm: like cold ones, and nothing is lost when what keeps them warm dies."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.hosts import children_of
from tests.support.oned import Oned
from tests.support.processes import alive, memory, wait_until
from tests.support.site import Site

NOISE = re.compile(r"\d+(\.\d+)? (s|KiB/s|MiB/s|GiB/s)")
MANY = 12
SLEEP = """\
- name: Sleep
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Sleep
      ansible.builtin.command: sleep 60
      changed_when: false
"""


def clone(site: Site, vm_id: int) -> str:
    """Give a script of three actions."""
    source, disk = f"fe:{site.images}/a.img", f"fe:{site.vm_dir(vm_id)}/images/disk"
    return f"CLONE {source} {disk}.0\nMKSWAP 1 {disk}.1\nLN {source} {disk}.2\n"


def make_site(directory: Path, settings: str = "engine: {warm: true}\n") -> Site:
    """Give a site with an image."""
    site = Site(directory, "nfs").install(settings)
    (site.images / "a.img").write_bytes(os.urandom(100_000))
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a site whose runs start warm."""
    return make_site(tmp_path / "site")


@pytest.fixture
def oned(site: Site) -> Iterator[Oned]:
    """Give a driver whose runs start warm from now on."""
    with site.start() as driver:
        driver.wait_warm()
        yield driver


def workers(server: int) -> list[int]:
    """Give the workers that a server has under way."""
    return [pid for pid in children_of(server) if comm(pid) == "tm-worker"]


def comm(pid: int) -> str:
    """Give the name of a process, as ps(1) shows it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def test_log_is_that_of_a_cold_run(site: Site, oned: Oned, tmp_path: Path) -> None:
    """A warm run says, makes and answers what a cold one does."""
    warm = oned.transfer(7, clone(site, 7))
    cold_site = make_site(tmp_path / "cold", "engine: {warm: false}\n")
    with cold_site.start() as cold_driver:
        cold = cold_driver.transfer(7, clone(cold_site, 7))
    assert warm.ok, warm.reason
    assert cold.ok, cold.reason
    assert plain(warm.log, site) == plain(cold.log, cold_site)
    made = (site.vm_dir(7) / "images" / "disk.0").read_bytes()
    assert made == (site.images / "a.img").read_bytes()


def plain(log: list[str], site: Site) -> list[str]:
    """Give log lines without what differs between two runs."""
    return [NOISE.sub("T", line.replace(str(site.base), "")) for line in log]


def test_runs_are_forks_of_the_server(site: Site, oned: Oned) -> None:
    """A run starts in the server of warm workers and leaves no process behind."""
    set_up = oned.wait_warm()
    oned.submit(7, "MKIMAGE 1 qcow2 fe:/nowhere/else/disk.0\n")
    oned.wait_reply(7)
    assert oned.transfer(8, clone(site, 8)).ok
    wait_until(lambda: not workers(set_up))
    assert oned.wait_warm() == set_up


def test_failure_is_told_as_of_a_cold_run(site: Site, oned: Oned) -> None:
    """A reason names action and cause; the actions behind it do not run."""
    disk = f"fe:{site.vm_dir(7)}/images/disk"
    done = oned.transfer(7, f"CLONE fe:{site.images}/none.img {disk}.0\nMKSWAP 1 {disk}.1\n")
    assert not done.ok
    assert done.reason.startswith("CLONE fe: ")
    assert "none.img" in done.reason
    assert not (site.vm_dir(7) / "images" / "disk.1").exists()


@pytest.mark.parametrize(
    "victims",
    [*(pytest.param(name, marks=pytest.mark.long) for name in ("server", "workers")), "both"],
)
def test_each_gets_a_reply_when_warm_processes_are_killed(
    site: Site, oned: Oned, victims: str
) -> None:
    """Kill the server, its workers, or both under load: one reply each, and the next one works."""
    server = oned.wait_warm()
    for vm_id in range(MANY):
        oned.submit(vm_id, clone(site, vm_id))
    wait_until(lambda: workers(server))
    killed = [*workers(server)] if victims != "server" else []
    killed += [server] if victims != "workers" else []
    for pid in killed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for vm_id in range(MANY):
        reply = oned.wait_reply(vm_id)
        assert reply.ok or re.match("(CLONE|MKSWAP|LN) fe: ", reply.reason), reply.reason
    assert all(len(oned.replies(vm_id)) == 1 for vm_id in range(MANY))
    assert oned.transfer(50, clone(site, 50)).ok
    assert oned.wait_warm()
    assert oned.transfer(51, clone(site, 51)).ok


def test_cancel_ends_every_process_of_a_warm_run(site: Site) -> None:
    """DRIVER_CANCEL reaches what a warm run has started, though it was never executed."""
    site.set_program("CLONE", "clone_of_site.yml", SLEEP)
    with site.start() as oned:
        server = oned.wait_warm()
        oned.submit(7, f"CLONE fe:{site.images}/a.img fe:{site.vm_dir(7)}/images/disk.0\n")
        wait_until(lambda: sleeping(server))
        started = [pid for pid in descendants(server) if comm(pid) != "tm-spare"]
        oned.send("DRIVER_CANCEL 7")
        wait_until(lambda: not any(alive(pid) for pid in started), 5)
        assert alive(server)
        assert not oned.replies(7)
        assert oned.transfer(8, f"MKSWAP 1 fe:{site.vm_dir(8)}/images/disk.1\n").ok


def sleeping(pid: int) -> bool:
    """Tell whether a process has begun a ``sleep``."""
    return any(comm(each) == "sleep" for each in descendants(pid))


def descendants(pid: int) -> Iterator[int]:
    """Yield all that a process has started."""
    for child in children_of(pid):
        yield child
        yield from descendants(child)


def change_playbook(site: Site) -> None:
    """Have the site's playbook say something else."""
    site.set_program("CLONE", "clone_of_site.yml", saying("second"))


def change_inventory(site: Site) -> None:
    """Have the inventory say something else."""
    (site.etc / "hosts.yml").write_text("all: {vars: {word: second}}\n")


def change_config(site: Site) -> None:
    """Have ansible.cfg name a library that says something else."""
    library = site.etc / "filters"
    library.mkdir()
    (library / "word.py").write_text(
        "class FilterModule:\n    def filters(self):\n        return {'say': lambda _: 'second'}\n"
    )
    (site.etc / "ansible.cfg").write_text(f"[defaults]\nfilter_plugins = {library}\n")


def change_filter(site: Site) -> None:
    """Have a plugin of the site say something else, in the file that it has."""
    plugin = site.etc / "old" / "word.py"
    plugin.write_text(plugin.read_text().replace("word: word", "word: 'second'"))


def saying(word: str) -> str:
    """Give a playbook that says a word."""
    return f"""\
- name: Say
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say
      ansible.builtin.debug:
        msg: "{word}"
"""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (change_playbook, "first"),
        (change_inventory, "{{ word }}"),
        pytest.param(change_config, "{{ 'first' | say }}", marks=pytest.mark.long),
        pytest.param(change_filter, "{{ 'first' | say }}", marks=pytest.mark.long),
    ],
)
def test_change_on_disk_is_noticed(
    tmp_path: Path, change: Callable[[Site], None], word: str
) -> None:
    """What playbook, inventory and ansible.cfg say when a run begins is what holds for it."""
    settings = "engine: {warm: true}\nansible: {config: ansible.cfg}\ninventory: [hosts.yml]\n"
    site = Site(tmp_path / "site", "nfs").install()
    (site.etc / "settings.yml").write_text(f"front_ends: [fe]\n{settings}")
    site.set_program("CLONE", "clone_of_site.yml", saying(word))
    (site.etc / "hosts.yml").write_text("all: {vars: {word: first}}\n")
    library = site.etc / "old"
    library.mkdir()
    (library / "word.py").write_text(
        "class FilterModule:\n    def filters(self):\n        return {'say': lambda word: word}\n"
    )
    (site.etc / "ansible.cfg").write_text(f"[defaults]\nfilter_plugins = {library}\n")
    script = "CLONE fe:/a fe:/b\n"
    with site.start() as oned:
        oned.wait_warm()
        assert oned.transfer(1, script).log == ["CLONE fe: first"]
        change(site)
        for vm_id in (2, 3):
            assert oned.transfer(vm_id, script).log == ["CLONE fe: second"]


PEEPING = """\
- name: Peep
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Tell
      ansible.builtin.debug:
        msg: >-
          {{ [tm_source, canary | default('-'), cached | default('-'),
              lookup('ansible.builtin.env', 'CANARY') or '-',
              lookup('ansible.builtin.pipe', 'env') is search('CANARY')] | join(' ') }}
    - name: Leave something behind
      ansible.builtin.set_fact:
        cached: "{{ tm_source }}"
        cacheable: true
"""


def test_no_run_sees_what_another_had(tmp_path: Path) -> None:
    """Variables, facts and a vault of one run are not there in the next, nor in the server."""
    site = Site(tmp_path / "site", "nfs").install()
    (site.etc / "settings.yml").write_text(
        "front_ends: [fe]\nengine: {warm: true}\ninventory: [hosts.yml]\n"
    )
    hosts = site.etc / "hosts.yml"
    hosts.write_text("all: {vars: {canary: kAnArIeNvOgEl}}\n")
    site.set_program("CLONE", "clone_of_site.yml", PEEPING)
    with site.start() as oned:
        server = oned.wait_warm()
        first = oned.transfer(1, "CLONE fe:/one fe:/b\n").log
        hosts.write_text("all: {vars: {}}\n")
        second = oned.transfer(2, "CLONE fe:/two fe:/b\n").log
        assert oned.wait_warm() == server
        assert first == ["CLONE fe: fe:/one kAnArIeNvOgEl - - False"]
        assert second == ["CLONE fe: fe:/two - - - False"]
        assert b"kAnArIeNvOgEl" not in memory(server)


LATE = """\
- name: Begin, and use late what nobody has used before
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Begin
      one.tm.log: {message: begun}
    - name: Sleep
      ansible.builtin.command: sleep 3
      changed_when: false
    - name: Look
      one.tm.survey: {path: /usr/bin/env, allowed_dirs: [/srv]}
"""


@pytest.mark.long
def test_run_outlives_its_server(tmp_path: Path) -> None:
    """A run finds content that it has not used yet after its server has ended as it should."""
    site = make_site(tmp_path / "site", "engine: {warm: true}\nansible: {config: ansible.cfg}\n")
    (site.etc / "ansible.cfg").write_text("[defaults]\n")
    site.set_program("CLONE", "clone_of_site.yml", LATE)
    with site.start() as oned:
        server = oned.wait_warm()
        oned.submit(7, "CLONE fe:/a fe:/b\n")
        oned.wait_log(7, "begun")
        (site.etc / "ansible.cfg").write_text("[defaults]\nforks = 6\n")
        oned.submit(8, f"MKSWAP 1 fe:{site.vm_dir(8)}/images/disk.1\n")
        wait_until(lambda: not alive(server))
        for vm_id in (7, 8):
            reply = oned.wait_reply(vm_id)
            assert reply.ok, reply.reason


def test_driver_leaves_no_server_behind(site: Site) -> None:
    """The server ends with a driver that is killed."""
    with site.start() as oned:
        server = oned.wait_warm()
        oned.process.kill()
        wait_until(lambda: not alive(server), 5)
