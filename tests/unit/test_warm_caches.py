"""What is read before a fork, and not again by each run."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ansible import constants
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
