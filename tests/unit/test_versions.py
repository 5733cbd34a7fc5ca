"""Releases of Ansible: those that were tested are taken, others are refused with the remedy."""

import re
from pathlib import Path

import pytest
from ansible.release import __version__

from tm_ansible import versions
from tm_ansible.configuration import load_configuration
from tm_ansible.engine.warm import tasks
from tm_ansible.errors import SettingsError


def test_what_is_installed_is_found_without_importing_it() -> None:
    """The release that is read of the file is the one that Ansible tells."""
    assert versions.ansible_core_version() == __version__
    versions.check_ansible_core(__version__)


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("", "is not installed"),
        ("2.15.13", "is too old"),
        ("2.9.27", "is too old"),
        ("nonsense", "is too old"),
        ("2.20.0b1", "is newer than what was tested"),
        ("3.0", "is newer than what was tested"),
    ],
)
def test_other_releases_are_refused_at_the_start(
    version: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver answers INIT, and every command, with what is wrong and what to install."""
    monkeypatch.setattr("tm_ansible.configuration.ansible_core_version", lambda: version)
    with pytest.raises(SettingsError, match=f"{problem}.*: pip install 'ansible-core>=2.16,<2.20'"):
        load_configuration("any.conf", {})


def test_the_range_is_one_everywhere() -> None:
    """Package, warm workers and this check speak of the same releases."""
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    needed = pyproject.read_text()
    assert f'"ansible-core>=2.{versions.OLDEST},<2.{versions.NEWEST + 1}"' in needed
    known = [int(re.findall(r"\d+", each)[1]) for each in tasks.VERSIONS]
    assert known == list(range(versions.OLDEST, versions.NEWEST + 1))
