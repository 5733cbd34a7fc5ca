"""How the site wants it, for one list of actions after the other: evaluated anew, or known."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.one.tm.plugins.plugin_utils.ways import Ways

RAW = """\
plain: "{{ tm_mode }}"
named: "{{ tm_vm_id }}"
site: "{{ tm_group }}"
listed: "{{ tm_dirs }}"
asked: "{{ lookup('file', '%s') }}"
"""
SITE = """\
tm_mode: a+w
tm_group: "{{ 'one' ~ tm_vm_id }}"
tm_dirs: [/srv, "{{ tm_mode }}"]
"""


class Counting:
    """A templar that counts what it evaluates."""

    def __init__(self, templar: Any) -> None:
        """Begin with nothing."""
        self.asked: list[str] = []
        self._templar = templar

    def template(self, value: Any) -> Any:
        """Evaluate."""
        self.asked.append(str(value))
        return self._templar.template(value)

    def is_template(self, value: Any) -> bool:
        """Tell whether there is a template in a value."""
        return bool(self._templar.is_template(value))

    @property
    def available_variables(self) -> Any:
        """Give the variables."""
        return self._templar.available_variables

    @available_variables.setter
    def available_variables(self, variables: Any) -> None:
        self._templar.available_variables = variables


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Give a file that a variable reads."""
    path = tmp_path / "said"
    path.write_text("one")
    return path


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """Give the variables of a site, as Ansible reads them."""
    return load(tmp_path / "site.yml", SITE)


def load(path: Path, text: str) -> Any:
    """Give what Ansible makes of a file of variables."""
    path.write_text(text)
    load_ = DataLoader().load_from_file
    # From ansible-core 2.19 on texts are templates only where they come from who may write some.
    is_marked = "trusted_as_template" in inspect.signature(load_).parameters
    return load_(str(path), **({"trusted_as_template": True} if is_marked else {}))


@pytest.fixture
def templar() -> Counting:
    """Give a templar that counts."""
    return Counting(Templar(loader=DataLoader()))


@pytest.fixture
def ways(tmp_path: Path, said: Path, templar: Counting) -> Ways:
    """Give the ways of that site."""
    return Ways(templar, load(tmp_path / "ways.yml", RAW % said))


def test_each_list_of_actions_has_its_own(ways: Ways, site: Any, said: Path) -> None:
    """What depends on the VM, or on a lookup, is as it is when it is asked for."""
    seen = []
    for vm_id, word in ((7, "one"), (8, "two")):
        said.write_text(word)
        ways.renew({**site, "tm_vm_id": vm_id}, ["tm_vm_id"])
        seen.append(dict(ways))
    assert seen[0] == {
        "plain": "a+w",
        "named": 7,
        "site": "one7",
        "listed": ["/srv", "a+w"],
        "asked": "one",
    }
    assert seen[1] == {**seen[0], "named": 8, "site": "one8", "asked": "two"}


def test_what_cannot_change_is_evaluated_once(ways: Ways, site: Any, templar: Counting) -> None:
    """A number or text of the site is known for the next; what has a template in it is not."""
    for vm_id in (7, 8, 9):
        ways.renew({**site, "tm_vm_id": vm_id}, ["tm_vm_id"])
        assert ways["plain"] == "a+w"
        assert ways["site"] == f"one{vm_id}"
        assert ways["listed"] == ways["listed"] == ["/srv", "a+w"]
    assert templar.asked.count("{{ tm_mode }}") == 1
    assert templar.asked.count("{{ tm_group }}") == 3
    assert templar.asked.count("{{ tm_dirs }}") == 3


def test_the_number_of_the_vm_is_never_known(ways: Ways, site: Any) -> None:
    """A plain number that the next list of actions brings with it is that one's own."""
    for vm_id in (7, 8):
        ways.renew({**site, "tm_vm_id": vm_id}, ["tm_vm_id"])
        assert ways["named"] == vm_id


def test_what_nobody_asks_for_is_not_evaluated(ways: Ways, site: Any, said: Path) -> None:
    """A value that would fail does no harm to actions that have no need of it."""
    said.unlink()
    ways.renew({**site, "tm_vm_id": 7}, ["tm_vm_id"])
    assert ways["plain"] == "a+w"
    assert len(ways) == 5
