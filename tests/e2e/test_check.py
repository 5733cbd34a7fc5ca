"""``tm-ansible check``: what it finds in set-ups that work and in those that do not."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import tm_ansible
from tests.support.hosts import SshHost


@dataclass(frozen=True, slots=True)
class Found:
    """A finding as --json shows it."""

    level: str
    subject: str
    text: str
    remedy: str


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Give an installation as it comes."""
    tm_ansible("install", "--one-location", str(tmp_path))
    (tmp_path / "var").mkdir()
    return tmp_path


def check(one: Path, model: str) -> tuple[int, list[Found]]:
    """Check one map, and give exit status and findings."""
    name = f"tm_ansible_{model}/tm_ansible_{model}.conf"
    done = tm_ansible("check", name, "--json", location=one)
    assert done.stderr == ""
    return done.returncode, [Found(**each) for each in json.loads(done.stdout)[name]]


def of_level(found: list[Found], level: str) -> Iterator[Found]:
    """Give the findings of a level."""
    return (each for each in found if each.level == level)


def set_settings(one: Path, model: str, text: str) -> None:
    """Write settings.yml of a model."""
    (one / "etc" / f"tm_ansible_{model}" / "settings.yml").write_text(text)


def test_a_fresh_installation_has_advice_and_no_failure(one: Path) -> None:
    """All maps are looked at when none is named; each finding has its remedy."""
    done = tm_ansible("check", location=one)
    assert done.returncode == 0, done.stdout
    for model in ("nfs", "ssh", "shared", "dummy"):
        assert f"tm_ansible_{model}/tm_ansible_{model}.conf\n" in done.stdout
    assert "the driver answers INIT in 0." in done.stdout
    assert done.stdout.count("-> set source_dirs in") == 4


def test_an_oned_conf_that_cannot_be_read_is_told(one: Path) -> None:
    """A VM_DIR that is not known is a warning, unless allowed_dirs takes its place."""
    (one / "etc" / "oned.conf").write_text("VM_DIR = /srv vms\n")
    warnings = " ".join(each.text for each in of_level(check(one, "dummy")[1], "warn"))
    assert f"{one}/etc/oned.conf: line 1: " in warnings
    set_settings(one, "dummy", "allowed_dirs: [/srv/vms]\n")
    warnings = " ".join(each.text for each in of_level(check(one, "dummy")[1], "warn"))
    assert "oned.conf" not in warnings


def test_settings_that_weaken_are_advised_against(one: Path) -> None:
    """Missing source_dirs and unchecked host keys are warnings, until they are set right."""
    set_settings(one, "ssh", "ansible: {host_key_checking: false}\n")
    status, found = check(one, "ssh")
    assert status == 0
    warnings = " ".join(each.text + each.remedy for each in of_level(found, "warn"))
    assert "source_dirs" in warnings
    assert "host keys are not checked" in warnings
    set_settings(one, "ssh", "source_dirs: [/srv/images]\n")
    warnings = " ".join(each.text + each.remedy for each in of_level(check(one, "ssh")[1], "warn"))
    assert "source_dirs" not in warnings
    assert "host keys" not in warnings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("concurency: 3\n", "concurency: unknown key; did you mean concurrency?"),
        ("inventory: [nosuch.yml]\n", "nosuch.yml does not exist"),
        ("concurrency: [\n", "no valid YAML"),
    ],
)
def test_wrong_settings_fail(one: Path, settings: str, text: str) -> None:
    """The message is the driver's own."""
    set_settings(one, "nfs", settings)
    status, found = check(one, "nfs")
    assert status == 1
    (failure,) = of_level(found, "fail")
    assert text in failure.text
    assert failure.remedy


def test_a_map_that_cannot_be_looked_for_fails(one: Path) -> None:
    """Such as one in a directory that is closed to this user, or of an impossible name."""
    name = "x" * 300
    done = tm_ansible("check", name, location=one)
    assert done.returncode == 1
    assert "File name too long" in " ".join(done.stdout.split())
    assert done.stderr == ""


def test_an_inventory_that_cannot_be_parsed_fails(one: Path) -> None:
    """Ansible itself would only warn, and know no hosts."""
    (one / "etc/tm_ansible_ssh/hosts.yml").write_text("all: {hosts: [not a mapping]}\n")
    set_settings(one, "ssh", "inventory: [hosts.yml]\n")
    status, found = check(one, "ssh")
    assert status == 1
    assert [each.subject for each in of_level(found, "fail")] == ["inventory"]


def test_a_playbook_of_the_site_is_parsed(one: Path) -> None:
    """A mistake in it is found before a VM meets it."""
    etc = one / "etc/tm_ansible_nfs"
    (etc / "mine.yml").write_text("- hosts: localhost\n  tasks:\n    - no_such_module:\n")
    (etc / "tm_ansible_nfs.conf").write_text("CLONE = mine.yml\n")
    status, found = check(one, "nfs")
    assert status == 1
    (failure,) = of_level(found, "fail")
    assert "mine.yml" in failure.text
    assert "no_such_module" in failure.text
    assert any("names no program for LN" in each.text for each in of_level(found, "warn"))


def test_what_the_driver_would_use_is_used(one: Path) -> None:
    """Collections, an ansible.cfg and a vault of the site are no reason to fail."""
    etc, tasks = one / "etc/tm_ansible_nfs", one / "collections/ansible_collections/acme/site/roles"
    (tasks / "hello/tasks").mkdir(parents=True)
    (tasks / "hello/tasks/main.yml").write_text("- ansible.builtin.debug: {msg: hello}\n")
    role = "{name: Say, hosts: localhost, gather_facts: false, roles: [acme.site.hello]}"
    (etc / "mine.yml").write_text(f"- {role}\n")
    (etc / "tm_ansible_nfs.conf").write_text("CLONE = mine.yml\n")
    (etc / "password").write_text("open\n")
    config = f"[defaults]\ncollections_path={one}/collections\n"
    (etc / "ansible.cfg").write_text(f"{config}vault_password_file={etc}/password\n")
    (etc / "hosts.yml").write_text("all: {vars: {one: two}}\n")
    encrypt = ["ansible-vault", "encrypt", "--vault-password-file", f"{etc}/password"]
    subprocess.run([*encrypt, f"{etc}/hosts.yml"], check=True, capture_output=True)
    set_settings(one, "nfs", "ansible: {config: ansible.cfg}\ninventory: [hosts.yml]\n")
    status, found = check(one, "nfs")
    assert not list(of_level(found, "fail"))
    assert status == 0


def test_a_missing_var_fails(one: Path) -> None:
    """Neither journal nor VMs would have a place."""
    (one / "var").rmdir()
    status, found = check(one, "nfs")
    assert status == 1
    assert any("var does not exist" in each.text for each in of_level(found, "fail"))
    assert not any("will be made" in each.text for each in found)


def test_hosts_are_looked_at(one: Path, inventory: Path, nodes: dict[str, SshHost]) -> None:
    """A host that answers is described, one that does not has its cause, by real ssh."""
    more = one / "more.yml"
    more.write_text(
        "all:\n  hosts:\n    gone: {ansible_host: 127.0.0.9, ansible_port: 1}\n"
        "    bare: {ansible_connection: local, ansible_python_interpreter: /nosuch/python3}\n"
    )
    set_settings(one, "ssh", f"inventory: ['{inventory}', '{more}']\nallowed_dirs: [/tmp/vms]\n")
    status, found = check(one, "ssh")
    assert status == 1
    failures = {each.subject: each for each in of_level(found, "fail")}
    assert set(failures) == {"gone", "bare"}
    # What ssh says is lost if it ends before Ansible writes to it.
    assert re.search("refused the connection|it was refused", failures["gone"].text)
    assert "ansible_python_interpreter" in failures["bare"].remedy
    for name in nodes:
        texts = [each.text for each in found if each.subject == name]
        assert any(text.startswith("reached as root, Python 3") for text in texts)
        assert any("/tmp/vms" in text for text in texts)


def test_a_model_without_hosts_does_not_fail_for_them(one: Path) -> None:
    """With one shared directory everything runs on the front-end."""
    (one / "hosts").write_text("gone ansible_host=127.0.0.9 ansible_port=1\n")
    set_settings(one, "nfs", f"inventory: ['{one}/hosts']\n")
    status, found = check(one, "nfs")
    assert status == 0
    assert any("does not use it" in each.text for each in found if each.subject == "gone")


def test_nothing_installed_is_told_with_the_remedy(tmp_path: Path) -> None:
    """One line, exit code 2."""
    done = tm_ansible("check", location=tmp_path)
    assert done.returncode == 2
    assert "tm-ansible install" in done.stderr


def test_a_living_drivers_journal_is_left_alone(one: Path) -> None:
    """The driver that the check starts has a var of its own."""
    before = sorted((one / "var").iterdir())
    assert check(one, "nfs")[0] == 0
    assert sorted((one / "var").iterdir()) == before
