"""Actions on one host that a playbook of ours can carry out as one task."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tm_ansible.engine.job import PlaybookRun, Value

_MODELS = ("nfs", "shared", "ssh")
# What ``actions.yml`` of a model can do; the names are those of the model's other playbooks.
_ACTIONS = ("clone", "delete", "ln", "mkimage", "mkswap", "mv")
_VARIABLES = ("tm_source", "tm_destination", "tm_size_mib", "tm_filesystem")


def join(runs: Sequence[PlaybookRun], playbooks: Path) -> tuple[PlaybookRun, ...]:
    """Join actions of our own playbooks, as far as they are of one model and host.

    Ansible takes more time for a play than most actions do. A single action is joined as if others
    stood beside it: its run can stay, and it sees the same variables. A site's playbook stays
    alone, and so does an action that takes more than one task.

    Args:
        runs: one for each action, in order.
        playbooks: directory of our playbooks.

    Returns:
        The same actions in the same order, in as few runs.
    """
    joined: list[PlaybookRun] = []
    for place, neighbours in groupby(runs, key=lambda run: _place(run, playbooks)):
        group = list(neighbours)
        joined += [_joined(group)] if place else group
    return tuple(joined)


def _place(run: PlaybookRun, playbooks: Path) -> tuple[str, str] | None:
    """Give model and host of an action that can be joined."""
    playbook, variables = Path(run.playbook), run.variables
    is_ours = playbook.parent.parent == playbooks and playbook.parent.name in _MODELS
    if not is_ours or playbook.stem not in _ACTIONS or _takes_tasks(playbook, variables):
        return None
    return str(playbook.parent), variables["tm_host"]


def _takes_tasks(playbook: Path, variables: Mapping[str, Value]) -> bool:
    """Tell whether an action takes several tasks, or other hosts than its own."""
    source, destination = variables.get("tm_source", ""), variables.get("tm_destination", "")
    if playbook.stem == "mv":
        is_shared = playbook.parent.name == "nfs"
        return not is_shared and _host(source) != _host(destination)
    return "://" in source or bool(source and playbook.stem == "mkimage")


def _host(argument: str) -> str:
    """Give the host; an IPv6 address stands in brackets."""
    return argument.partition("]:" if argument.startswith("[") else ":")[0]


def _joined(runs: list[PlaybookRun]) -> PlaybookRun:
    variables: dict[str, Value] = {
        "tm_vm_id": runs[0].variables["tm_vm_id"],
        "tm_host": runs[0].variables["tm_host"],
        "tm_actions": [_action(run) for run in runs],
    }
    playbook = Path(runs[0].playbook).with_name("actions.yml")
    labels = tuple(label for run in runs for label in run.labels)
    return PlaybookRun(labels=labels, playbook=str(playbook), variables=variables)


def _action(run: PlaybookRun) -> dict[str, Value]:
    own = {name.removeprefix("tm_"): run.variables.get(name) for name in _VARIABLES}
    given = {name: value for name, value in own.items() if value is not None}
    return {"action": Path(run.playbook).stem, **given}
