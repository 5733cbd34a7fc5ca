"""Where the collection is found."""

from pathlib import Path

import pytest

from tm_ansible.content import find_content
from tm_ansible.errors import SettingsError

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_content_of_this_copy_is_found():
    """Without a setting the copy that belongs to the package is found, and is whole."""
    content = find_content(None)
    assert (content.root / "galaxy.yml").is_file()
    assert (content.root / "playbooks").is_dir()
    assert (content.collections / "ansible_collections/one/tm").samefile(content.root)


def test_the_setting_comes_first(tmp_path):
    """A directory that a site sets is taken, and no other."""
    (tmp_path / "ansible_collections/one/tm/playbooks").mkdir(parents=True)
    content = find_content(tmp_path)
    assert content.root == tmp_path / "ansible_collections/one/tm"
    assert content.collections == tmp_path


def test_a_setting_without_content_is_refused(tmp_path):
    """A wrong directory is named, with the setting to correct."""
    with pytest.raises(SettingsError) as caught:
        find_content(tmp_path)
    assert f"{tmp_path}/ansible_collections/one/tm" in str(caught.value)
    assert "setting 'content'" in str(caught.value)
