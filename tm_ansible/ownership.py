"""Which VM a path belongs to, as far as its words tell; the host that has it follows links."""

import re
from collections.abc import Iterable, Mapping

from tm_ansible.endpoint import Endpoint
from tm_ansible.errors import ScriptError
from tm_ansible.script import Verb

_NUMBER = re.compile(r"[0-9]+")
# Of these the source is moved or removed.
_TAKING = (Verb.DELETE, Verb.MV)


def check_owner(
    vm_id: int, verb: Verb, arguments: Mapping[str, object], directories: Iterable[str]
) -> None:
    """Refuse an action that would change what another VM has.

    Args:
        vm_id: the VM that the transfer is for; negative at a prompt, where any will do.
        verb: of the action.
        arguments: by variable: ``tm_source``, ``tm_destination``.
        directories: in which VMs have theirs: ``<directory>/<VM>``.

    Raises:
        ScriptError: the path is in the directory of another VM.
    """
    roots = list(directories)
    roles = {"tm_destination": "destination"} | ({"tm_source": "source"} if verb in _TAKING else {})
    for variable, role in roles.items():
        place = arguments.get(variable)
        if vm_id < 0 or not isinstance(place, Endpoint):
            continue
        for owner in _owners(place.path, roots):
            if owner != str(vm_id):
                raise ScriptError(
                    f"refused the {role} {place}: it is VM {owner}'s, and this is for VM {vm_id}; "
                    "no setting allows that"
                )


def _owners(path: str, directories: Iterable[str]) -> Iterable[str]:
    for directory in directories:
        root = "/" + "/".join(part for part in directory.split("/") if part)
        if path.startswith(f"{root}/"):
            first = path[len(root) + 1 :].partition("/")[0]
            if _NUMBER.fullmatch(first):
                yield first
