"""Loads Ansible and the content by running all actions but MKIMAGE once, where they do no harm."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ansible.release
from ansible import constants
from ansible.plugins.loader import (
    action_loader,
    callback_loader,
    connection_loader,
    fragment_loader,
    inventory_loader,
)

from tm_ansible import __file__ as package
from tm_ansible.engine.inputs import state_of, states_below
from tm_ansible.engine.job import Job, PlaybookRun, Site
from tm_ansible.engine.playlist import write_project
from tm_ansible.engine.warm import caches, playbook, tasks
from tm_ansible.joining import join

_MODELS = ("nfs", "shared", "ssh")
# Ansible's own for files, which each run tries in turn; a site's own are its runs' affair.
_INVENTORIES = ("host_list", "script", "auto", "yaml", "ini", "toml")
_CONTENT = ("playbooks", "plugins", "roles")


class Signature:
    """Gives the state on disk of what is loaded: content, ansible.cfg, Ansible and this package."""

    def __init__(self, site: Site) -> None:
        """Know where to look.

        Args:
            site: names the content.
        """
        self._files = [*_configurations(), ansible.release.__file__, package]
        self._trees = [f"{_content(site)}/{name}" for name in _CONTENT]
        self._trees += _plugin_directories()

    def __call__(self) -> object:
        """Return something that is equal as long as nothing has changed."""
        found = [state_of(path) for path in self._files]
        for directory in self._trees:
            # Without links: the content has some to itself, so that its playbooks find it.
            found += states_below(directory)
        return found


def _configurations() -> list[str]:
    """List where ansible.cfg may be, the first that there is being the one that holds."""
    places = (constants.CONFIG_FILE, "~/.ansible.cfg", "/etc/ansible/ansible.cfg")
    return [str(Path(place).expanduser()) for place in places if place]


def warm_up(site: Site, directory: Path) -> None:
    """Run playbooks in this process.

    Args:
        site: for whose runs.
        directory: a private directory; what the playbooks do, they do there.
    """
    tasks.stay_in_process()
    caches.share_texts()
    caches.ContentCache(Path(_content(site))).install()
    caches.remember_templates()
    caches.remember_settings()
    playbook.keep_parser()
    restore = playbook.keep_loaders()
    playlist = write_project(directory, _job(site, directory), "warm up")
    # What is loaded has to be found where it is for good: this directory goes, the forks stay.
    (playlist.parent / "collections").unlink()
    playbook.find_collections(site.collections)
    arguments = ["ansible-playbook", "-i", str(directory / "inventory.json"), str(playlist)]
    with _silently(), _quiet_callbacks():
        status = playbook.run(arguments, dict(os.environ))
        _load_plugins()
        _load_programs()
    if status:
        raise RuntimeError(f"the playbooks that warm up ended with status {status}")
    restore()


def _load_plugins() -> None:
    """Load what runs have need of and the playbooks above had not."""
    for name in ("transfer", "download", "script", "run"):
        action_loader.get(f"one.tm.{name}", class_only=True)
    connection_loader.get("ssh", class_only=True)
    fragment_loader.get("default_callback")  # of the callback of ansible-runner
    for name in _INVENTORIES:
        inventory_loader.get(name)


def _load_programs() -> None:
    """Load what is sent to hosts, and what sends images here: no run above was with a host."""
    from ansible_collections.one.tm.plugins.module_utils import stream  # noqa: F401, PLC0415
    from ansible_collections.one.tm.plugins.plugin_utils import farside  # noqa: PLC0415

    farside.sources("session", ())
    farside.sources("stream", ())
    for step in ("clone", "link", "mkimage", "mkswap", "move", "remove"):
        farside.sources("step", (step,))


def _content(site: Site) -> str:
    """Give the collection's directory, under the name by which jobs know its playbooks."""
    return os.path.realpath(f"{site.collections}/ansible_collections/one/tm")


def _job(site: Site, directory: Path) -> Job:
    place = directory / "place"
    place.mkdir()
    single = [run for model in _MODELS for run in _runs(site, place / model, model)]
    runs = [*single, *join(single, Path(_content(site)) / "playbooks")]
    defaults = dict(site.defaults)
    defaults |= {"tm_allowed_dirs": [str(place)], "tm_source_dirs": [str(place)]}
    defaults |= {"tm_allowed_for": {}, "tm_own_paths": [], "tm_cache_dir": ""}
    defaults |= {"tm_owner": "", "tm_group": ""}
    return Job(
        vm_id=-1,
        actions=tuple(runs),
        defaults=defaults,
        collections=site.collections,
        marker="",
    )


def _runs(site: Site, place: Path, model: str) -> Iterator[PlaybookRun]:
    place.mkdir()
    (place / "image").write_bytes(b"\1")
    source, other = f"localhost:{place}/image", f"localhost:{place}/other/disk"
    for verb, values in (
        ("clone", {"tm_source": source, "tm_destination": f"{other}.0"}),
        ("mkswap", {"tm_size_mib": 1, "tm_destination": f"{other}.1"}),
        ("ln", {"tm_source": source, "tm_destination": f"{other}.2"}),
        ("mv", {"tm_source": f"{other}.0", "tm_destination": f"localhost:{place}/disk.0"}),
        ("delete", {"tm_source": f"localhost:{place}/other"}),
    ):
        path = f"{_content(site)}/playbooks/{model}/{verb}.yml"
        common: dict[str, Any] = {"tm_verb": verb.upper(), "tm_vm_id": -1, "tm_host": "localhost"}
        yield PlaybookRun(labels=(verb,), playbook=path, variables=common | values)


@contextmanager
def _silently() -> Iterator[None]:
    """Send what Ansible prints nowhere."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)


@contextmanager
def _quiet_callbacks() -> Iterator[None]:
    """Load no callback but Ansible's own: nobody is to hear of this run.

    ansible-runner's changes Ansible when it is imported, so each run must import it for itself.
    """
    kept = constants.DEFAULT_STDOUT_CALLBACK, constants.CALLBACKS_ENABLED, callback_loader.config
    constants.DEFAULT_STDOUT_CALLBACK, constants.CALLBACKS_ENABLED = "minimal", []
    callback_loader.config, callback_loader._paths = [], None
    try:
        yield
    finally:
        constants.DEFAULT_STDOUT_CALLBACK, constants.CALLBACKS_ENABLED = kept[:2]
        callback_loader.config, callback_loader._paths = kept[2], None


def _plugin_directories() -> list[str]:
    from ansible.plugins import loader  # noqa: PLC0415

    names = [each.config for _, each in loader.get_all_plugin_loaders()]
    return sorted({str(path) for paths in names for path in paths or ()})
