"""What is read before a fork, and not again by each run."""

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import PluginLoader, lookup_loader

from tm_ansible.engine.warm import caches

PLAIN = SimpleNamespace(DOCUMENTATION="{name: same, description: It has no settings.}")
OTHER = SimpleNamespace(
    DOCUMENTATION="{name: same, options: {colour: {description: a setting, default: green}}}"
)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give the paths of plugins whose documentation Ansible looks at."""
    paths: list[str] = []
    original = PluginLoader._load_config_defs

    def note(loader: PluginLoader, name: str, module: object, path: str) -> None:
        paths.append(path)
        original(loader, name, module, path)

    monkeypatch.setattr(PluginLoader, "_load_config_defs", note)
    caches.remember_settings()
    yield paths
    constants.config._plugins["lookup"].pop("same")


def test_plugin_of_the_same_name_has_its_own_settings(read: list[str]) -> None:
    """One without settings is read once; that says nothing of another one."""
    for module, path in ((PLAIN, "/plain"), (PLAIN, "/plain"), (OTHER, "/other")):
        lookup_loader._load_config_defs("same", module, path)
    assert read == ["/plain", "/other"]
    assert "colour" in constants.config.get_configuration_definitions("lookup", "same")


@pytest.fixture
def parsed(tmp_path: Path) -> Any:
    """Give what Ansible makes of a file of the content."""
    path = tmp_path / "content.yml"
    path.write_text("{name: a, list: [text, 1, 2.5, {deep: '{{ template }}'}]}")
    return DataLoader().load_from_file(str(path), unsafe=True)


def test_copies_share_nothing_that_changes(parsed: Any) -> None:
    """What one reader does to its copy, no other sees; where it was read from goes along."""
    caches.share_texts()
    copied = copy.deepcopy(parsed)
    assert copied == parsed
    assert type(copied["list"][3]) is type(parsed["list"][3])
    assert copied["list"][3]["deep"] is parsed["list"][3]["deep"]
    copied["list"][3]["deep"] = "other"
    copied["list"].append("more")
    copied["new"] = 1
    assert parsed == {"name": "a", "list": ["text", 1, 2.5, {"deep": "{{ template }}"}]}


def test_content_is_parsed_once_and_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reader has a copy of its own, of the file as it is now; other files are left alone."""
    content, other = tmp_path / "content", tmp_path / "other.yml"
    content.mkdir()
    path = content / "main.yml"
    path.write_text("[one]")
    other.write_text("[other]")
    read: list[str] = []
    load = DataLoader.load_from_file

    def note(loader: DataLoader, file_name: str, *arguments: Any, **options: Any) -> Any:
        read.append(Path(file_name).name)
        return load(loader, file_name, *arguments, **options)

    monkeypatch.setattr(DataLoader, "load_from_file", note)
    caches.ContentCache(content).install()
    DataLoader().load_from_file(str(path)).append("mine")
    assert DataLoader().load_from_file(str(path)) == ["one"]
    assert read == ["main.yml"]
    path.write_text("[one, two]")
    assert DataLoader().load_from_file(str(path)) == ["one", "two"]
    for _ in range(2):
        assert DataLoader().load_from_file(str(other)) == ["other"]
    assert read == ["main.yml", "main.yml", "other.yml", "other.yml"]
