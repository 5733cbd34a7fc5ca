"""Runs that stay behind a transfer for the next one: as if each had a run of its own."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.test_warm import NOISE, clone, comm, descendants
from tests.support.forms import in_full
from tests.support.oned import Oned
from tests.support.processes import alive, wait_until
from tests.support.site import Site

# Longer than any of the tests: what ends, ends for another reason.
SETTINGS = "engine: {warm: true, session_seconds: 600}\n"


def make_site(directory: Path, settings: str = SETTINGS) -> Site:
    """Give a site with an image, an inventory and variables beside it."""
    site = Site(directory, "nfs").install()
    text = f"front_ends: [fe]\ninventory: [hosts.yml]\n{settings}"
    (site.etc / "settings.yml").write_text(text)
    (site.etc / "hosts.yml").write_text("all: {vars: {colour: red}}\n")
    (site.images / "a.img").write_bytes(os.urandom(100_000))
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a site whose runs stay."""
    return make_site(tmp_path / "site")


@pytest.fixture
def oned(site: Site) -> Iterator[Oned]:
    """Give a driver whose runs start warm from now on."""
    with site.start() as driver:
        driver.wait_warm()
        yield driver


def standing(oned: Oned) -> set[int]:
    """Give the workers and processes of ansible-playbook that have, or had, a run."""
    return {pid for pid in descendants(oned.process.pid) if comm(pid) == "tm-worker"}


def mode(site: Site, vm_id: int) -> int:
    """Give the permissions of a VM's first disk."""
    return (site.vm_dir(vm_id) / "images" / "disk.0").stat().st_mode & 0o777


def plain(log: list[str], vm_id: int) -> list[str]:
    """Give log lines without what differs between transfers."""
    return [NOISE.sub("T", line).replace(f"/{vm_id}/", "/N/") for line in log]


def test_one_run_serves_transfers_one_after_another(site: Site, oned: Oned) -> None:
    """Transfers of the same kind are carried out in one run, and look as if each had its own."""
    first = oned.transfer(7, clone(site, 7))
    assert first.ok, first.reason
    run = standing(oned)
    assert len(run) == 2
    for vm_id in (8, 9):
        done = oned.transfer(vm_id, clone(site, vm_id))
        assert done.ok, done.reason
        assert plain(done.log, vm_id) == plain(first.log, 7)
        made = site.vm_dir(vm_id) / "images"
        assert (made / "disk.0").read_bytes() == (site.images / "a.img").read_bytes()
        assert sorted(path.name for path in made.iterdir()) == ["disk.0", "disk.1", "disk.2"]
    assert standing(oned) == run


def test_failure_ends_the_run_and_nothing_else(site: Site, oned: Oned) -> None:
    """A reason names the action of its own transfer; the next one gets a run of its own."""
    assert oned.transfer(7, clone(site, 7)).ok
    run = standing(oned)
    disk = f"fe:{site.vm_dir(8)}/images/disk"
    script = f"MKSWAP 1 {disk}.1\nCLONE fe:{site.images}/none.img {disk}.0\nMKSWAP 1 {disk}.2\n"
    done = oned.transfer(8, script)
    assert not done.ok
    assert done.reason.startswith("CLONE fe: ")
    assert "none.img" in done.reason
    assert [line.partition(":")[0] for line in done.log] == ["MKSWAP fe"]
    assert not (site.vm_dir(8) / "images" / "disk.2").exists()
    assert not any(alive(pid) for pid in run)
    assert oned.transfer(9, clone(site, 9)).ok


@pytest.mark.parametrize(
    "number",
    ["tm_vm_id", *in_full("vars['tm_vm_id']", "lookup('ansible.builtin.vars', 'tm_vm_id')")],
)
def test_each_transfer_is_judged_by_its_own_vm(site: Site, oned: Oned, number: str) -> None:
    """The guard for other VMs' directories, and a site's variables, go by the transfer's number."""
    mode_ = f"{{{{ 'u=rw,go=' if {number} == 8 else 'u=rw,go=r' }}}}"
    (site.etc / "hosts.yml").write_text(f'all: {{vars: {{tm_mode: "{mode_}"}}}}\n')
    assert oned.transfer(7, clone(site, 7)).ok
    run = standing(oned)
    assert oned.transfer(8, clone(site, 8)).ok
    assert standing(oned) == run
    assert (mode(site, 7), mode(site, 8)) == (0o644, 0o600)
    # Not by the driver, which reads the script: by the step.
    (site.vm_dir(9) / "images").parent.mkdir(exist_ok=True)
    (site.vm_dir(9) / "images").symlink_to(site.vm_dir(7) / "images")
    before = (site.vm_dir(7) / "images" / "disk.0").stat()
    done = oned.transfer(9, clone(site, 9))
    assert not done.ok
    assert "VM 9" in done.reason or "of VM" in done.reason, done.reason
    assert (site.vm_dir(7) / "images" / "disk.0").stat() == before


def test_what_a_lookup_gives_is_asked_anew(site: Site, oned: Oned) -> None:
    """A variable that reads a file has what is there when its transfer begins."""
    limit = site.etc / "mode"
    lookup = f"lookup('ansible.builtin.file', '{limit}')"
    (site.etc / "hosts.yml").write_text(f'all: {{vars: {{tm_mode: "{{{{ {lookup} }}}}"}}}}\n')
    limit.write_text("u=rw,go=")
    assert oned.transfer(7, clone(site, 7)).ok
    run = standing(oned)
    limit.write_text("u=rw,go=r")
    assert oned.transfer(8, clone(site, 8)).ok
    assert standing(oned) == run
    assert (mode(site, 7), mode(site, 8)) == (0o600, 0o644)


def change_inventory(site: Site) -> None:
    """Have the inventory say it."""
    (site.etc / "hosts.yml").write_text("all: {vars: {tm_mode: 'u=rw,go='}}\n")


def change_variables_beside(site: Site) -> None:
    """Have a file of variables beside the inventory say it."""
    (site.etc / "group_vars").mkdir()
    (site.etc / "group_vars" / "all.yml").write_text("tm_mode: 'u=rw,go='\n")


def change_extra_variables(site: Site) -> None:
    """Have the file of extra variables say it."""
    (site.etc / "extra.yml").write_text("tm_mode: 'u=rw,go='\n")


def change_config(site: Site) -> None:
    """Have ansible.cfg name a plugin that says it."""
    library = site.etc / "vars"
    library.mkdir()
    (library / "said.py").write_text(
        "from ansible.plugins.vars import BaseVarsPlugin\n"
        "class VarsModule(BaseVarsPlugin):\n"
        "    REQUIRES_ENABLED = False\n"
        "    def get_vars(self, loader, path, entities, cache=True):\n"
        "        super().get_vars(loader, path, entities)\n"
        "        return {'tm_mode': 'u=rw,go='}\n"
    )
    (site.etc / "ansible.cfg").write_text(f"[defaults]\nvars_plugins = {library}\n")


@pytest.mark.parametrize(
    "change",
    [change_inventory, *in_full(change_variables_beside, change_extra_variables, change_config)],
)
def test_change_on_disk_is_noticed(tmp_path: Path, change: Callable[[Site], None]) -> None:
    """A transfer behind a change has what the site says now, though a run waits for it."""
    settings = f"ansible: {{config: ansible.cfg, extra_vars_files: [extra.yml]}}\n{SETTINGS}"
    site = make_site(tmp_path / "site", settings)
    (site.etc / "ansible.cfg").write_text("[defaults]\n")
    (site.etc / "extra.yml").write_text("{}\n")
    with site.start() as oned:
        oned.wait_warm()
        assert oned.transfer(7, clone(site, 7)).ok
        assert len(standing(oned)) == 2
        change(site)
        done = oned.transfer(8, clone(site, 8))
        assert done.ok, done.reason
        assert mode(site, 8) == 0o600
        assert mode(site, 7) != 0o600


def test_what_a_program_says_is_asked_by_each_run(tmp_path: Path) -> None:
    """With an inventory that is a program, each transfer has a run of its own."""
    site = make_site(tmp_path / "site")
    said = site.etc / "said"
    program = site.etc / "hosts.yml"
    program.write_text(
        f'#!/bin/sh\nprintf \'{{"all": {{"vars": {{"tm_mode": "%s"}}}}}}\' "$(cat {said})"\n'
    )
    program.chmod(0o755)
    with site.start() as oned:
        oned.wait_warm()
        for vm_id, words, expected in ((7, "u=rw,go=", 0o600), (8, "u=rw,go=r", 0o644)):
            said.write_text(words)
            done = oned.transfer(vm_id, clone(site, vm_id))
            assert done.ok, done.reason
            assert mode(site, vm_id) == expected
            wait_until(lambda: not standing(oned))


@pytest.mark.parametrize("victim", ["all", *in_full("first", "last")])
def test_a_run_that_died_while_it_waited(site: Site, oned: Oned, victim: str) -> None:
    """The next transfer does not know of it."""
    assert oned.transfer(7, clone(site, 7)).ok
    run = sorted(standing(oned))
    chosen = {"all": run, "first": run[:1], "last": run[1:]}[victim]
    for pid in chosen:
        os.kill(pid, signal.SIGKILL)
    done = oned.transfer(8, clone(site, 8))
    assert done.ok, done.reason
    wait_until(lambda: not any(alive(pid) for pid in run), 5)


def make_slow(site: Site) -> None:
    """Have copies take long from now on: what is to be copied is long, and copied slowly."""
    (site.images / "long.img").write_bytes(os.urandom(40 << 20))


def long_clone(site: Site, vm_id: int) -> str:
    """Give a script whose second action takes long."""
    disk = f"fe:{site.vm_dir(vm_id)}/images/disk"
    return f"MKSWAP 1 {disk}.1\nCLONE fe:{site.images}/long.img {disk}.0\n"


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Site, Oned]]:
    """Give a site with copies of 4 MiB/s, whose driver has a run that waits."""
    site = make_site(tmp_path / "site", f"copies: {{bandwidth_front_end: 4}}\n{SETTINGS}")
    make_slow(site)
    with site.start() as oned:
        oned.wait_warm()
        assert oned.transfer(7, clone(site, 7)).ok
        yield site, oned


def is_copying(site: Site, vm_id: int) -> bool:
    """Tell whether a VM's image is being copied."""
    return any(site.vm_dir(vm_id).rglob(".tm-*.part"))


@pytest.mark.parametrize("which", ["last", *in_full("first")])
def test_killed_in_a_later_transfer(slow: tuple[Site, Oned], which: str) -> None:
    """One FAILURE, which names the action of that transfer, and the next one is fine."""
    site, oned = slow
    run = sorted(standing(oned))
    oned.submit(8, long_clone(site, 8))
    wait_until(lambda: is_copying(site, 8))
    assert sorted(standing(oned)) == run
    os.kill(run[-1] if which == "last" else run[0], signal.SIGKILL)
    reply = oned.wait_reply(8)
    assert not reply.ok
    assert reply.reason.startswith("CLONE fe: "), reply.reason
    assert len(oned.replies(8)) == 1
    assert not any(alive(pid) for pid in run)
    assert oned.transfer(9, clone(site, 9)).ok


def test_cancel_of_a_later_transfer(slow: tuple[Site, Oned]) -> None:
    """No answer, nothing left of the run within five seconds, and a DELETE behind it works."""
    site, oned = slow
    run = standing(oned)
    oned.submit(8, long_clone(site, 8))
    wait_until(lambda: is_copying(site, 8))
    oned.send("DRIVER_CANCEL 8")
    oned.submit(8, f"DELETE fe:{site.vm_dir(8)}/images\n")
    wait_until(lambda: not any(alive(pid) for pid in run), 5)
    reply = oned.wait_reply(8)
    assert reply.ok, reply.reason
    assert len(oned.replies(8)) == 1
    assert not (site.vm_dir(8) / "images").exists()


def test_cancel_while_it_waits(site: Site, oned: Oned) -> None:
    """A cancel of a VM whose transfer is over ends nothing that waits for others."""
    assert oned.transfer(7, clone(site, 7)).ok
    run = standing(oned)
    oned.send("DRIVER_CANCEL 7")
    assert oned.transfer(8, clone(site, 8)).ok
    assert standing(oned) == run


def test_limits_are_those_of_each_action(tmp_path: Path) -> None:
    """The time in which a run waits counts for no action; a later transfer has its limit."""
    limits = "limits: {action_seconds: 3}\ncopies: {bandwidth_front_end: 4}\n"
    site = make_site(tmp_path / "site", limits + SETTINGS)
    make_slow(site)
    with site.start() as oned:
        oned.wait_warm()
        assert oned.transfer(7, clone(site, 7)).ok
        run = standing(oned)
        time.sleep(4)
        assert oned.transfer(8, clone(site, 8)).ok
        assert standing(oned) == run
        done = oned.transfer(9, long_clone(site, 9))
        assert re.fullmatch(r"CLONE fe: not finished within 3 s \(setting .*\)", done.reason)
        assert not any(alive(pid) for pid in run)
        assert not is_copying(site, 9)


@pytest.mark.long
def test_time_limit_of_ansible(tmp_path: Path) -> None:
    """A site's own time limit of tasks is one for each transfer: such a run does not stay."""
    site = make_site(tmp_path / "site", f"ansible: {{config: ansible.cfg}}\n{SETTINGS}")
    (site.etc / "ansible.cfg").write_text("[defaults]\ntask_timeout = 600\n")
    with site.start() as oned:
        oned.wait_warm()
        for vm_id in (7, 8):
            done = oned.transfer(vm_id, clone(site, vm_id))
            assert done.ok, done.reason
            wait_until(lambda: not standing(oned))


def test_it_waits_as_long_as_the_setting_says(tmp_path: Path) -> None:
    """A run that nobody wants ends, and nothing of it is left."""
    site = make_site(tmp_path / "site", "engine: {warm: true, session_seconds: 1}\n")
    with site.start() as oned:
        oned.wait_warm()
        assert oned.transfer(7, clone(site, 7)).ok
        assert standing(oned)
        wait_until(lambda: not standing(oned))
        assert oned.transfer(8, clone(site, 8)).ok


@pytest.mark.parametrize("end", ["FINALIZE", "SIGKILL", *in_full("EOF")])
def test_the_end_of_the_driver(site: Site, end: str) -> None:
    """A run that waits ends with its driver, however that ends."""
    with site.start() as oned:
        oned.wait_warm()
        for vm_id in (7, 8):
            assert oned.transfer(vm_id, clone(site, vm_id)).ok
        run = standing(oned)
        assert run
        if end == "SIGKILL":
            oned.process.kill()
        elif end == "EOF":
            assert oned.close_stdin() == 0
        else:
            assert oned.finalize() == 0
        wait_until(lambda: not any(alive(pid) for pid in run), 5)


def test_many_at_once_take_few_runs(site: Site, oned: Oned) -> None:
    """Of many short transfers at once each gets its answer, and they have not a run each."""
    seen: set[int] = set()
    for vm_id in range(40):
        oned.submit(vm_id, clone(site, vm_id))
    for vm_id in range(40):
        with suppress(OSError):
            seen |= standing(oned)
        reply = oned.wait_reply(vm_id)
        assert reply.ok, reply.reason
    assert all(len(oned.replies(vm_id)) == 1 for vm_id in range(40))
    assert 0 < len(seen) < 40
