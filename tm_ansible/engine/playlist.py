"""The files of a run's private directory: the play list and the inventory in front."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tm_ansible.engine.job import Job, Value

# A pattern that matches no host.
_NOBODY = "all:!all"
# A mux that died without a word would hang a run for ever; ssh's own defaults send no probes.
_SSH_ARGUMENTS = "-o ServerAliveInterval=15 -o ServerAliveCountMax=4"


# Ansible's loader asks PyYAML what a text with its tag is, and PyYAML takes these for tags. Alone
# they are no templates.
_HARMLESS = frozenset("!&*")


class _Unsafe(str):
    """A text that Ansible must never take for a template."""

    __slots__ = ()


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes ``_Unsafe`` texts with Ansible's tag for them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        """Write every value in full: a tag and an alias cannot stand together."""
        return True


_Dumper.add_representer(
    _Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"')
)


def write_project(directory: Path, job: Job, marker_play: str) -> Path:
    """Write what ansible-playbook is to run.

    Args:
        directory: an empty private directory.
        job: what to run.
        marker_play: name of the empty play in front of each action.

    Returns:
        The play list, ``project/transfer.yml``; ``inventory.json`` stands in the directory. It is
        YAML: under this name Ansible's plugin ``auto`` does not read it before ``yaml`` does.
    """
    project = directory / "project"
    project.mkdir(mode=0o700)
    # Ansible looks for collections beside the playbook first: the job's content is the one found.
    (project / "collections").symlink_to(job.collections)
    playlist = project / "transfer.yml"
    _write(playlist, _plays(job, marker_play))
    _write(directory / "inventory.json", _inventory(job))
    return playlist


def _plays(job: Job, marker_play: str) -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = []
    for action in job.actions:
        plays.append({"name": marker_play, "hosts": _NOBODY, "gather_facts": False, "tasks": []})
        plays.append(
            {
                "name": "Run the action",
                "ansible.builtin.import_playbook": action.playbook,
                "vars": _as_data(action.variables),
            }
        )
    return plays


def _inventory(job: Job) -> dict[str, Any]:
    variables = {
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": _SSH_ARGUMENTS,
        **_as_data(job.defaults),
    }
    return {"all": {"hosts": {host: {} for host in job.hosts}, "vars": variables}}


def _as_data(variables: Mapping[str, Value]) -> dict[str, Any]:
    return {name: _unsafe(value) for name, value in variables.items()}


def _unsafe(value: Value) -> Any:
    if isinstance(value, str):
        return value if value in _HARMLESS else _Unsafe(value)
    if isinstance(value, list):
        return [_unsafe(item) for item in value]
    if isinstance(value, dict):
        return {key: _unsafe(item) for key, item in value.items()}
    return value


def _write(path: Path, content: object) -> None:
    with path.open("x", encoding="utf-8") as file:
        yaml.dump(content, file, Dumper=_Dumper, allow_unicode=False, sort_keys=False)
