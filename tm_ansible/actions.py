"""The actions: which words each takes, and what becomes of them. Nothing else knows positions."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tm_ansible.actionmap import Program
from tm_ansible.configuration import Configuration
from tm_ansible.endpoint import Endpoint, Url, check_word, parse_endpoint, parse_source, shown
from tm_ansible.engine.job import Job, PlaybookRun, Value
from tm_ansible.errors import ScriptError
from tm_ansible.joining import join
from tm_ansible.ownership import check_owner
from tm_ansible.script import Action, Verb
from tm_ansible.shares import LOCAL

FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs", "vfat", "swap", "raw", "qcow2")
MAX_MIB = 64 << 20

# As ``module_utils/temporary.py`` names what is being made.
_OURS = re.compile(r"/\.tm-[0-9a-f]{16}\.(part|proven|old|gone|download|here-)")
# Models in which LN leads to the image itself, unless it has a URL.
_LINKING = ("nfs", "shared", "dummy")
# Models whose playbooks do everything on the front-end, whatever hosts an action names.
_CENTRAL = ("nfs", "dummy")


@dataclass(frozen=True, slots=True)
class Opaque:
    """A source that only the site's action script understands.

    Attributes:
        text: the word as it stands.
    """

    text: str

    def __str__(self) -> str:
        """Write it as an argument."""
        return self.text


Argument: TypeAlias = Endpoint | Url | Opaque | int | str


@dataclass(frozen=True, slots=True)
class _Slot:
    """One word of a form: how it is called, which variable it sets, how it is read."""

    shape: str
    variable: str
    parse: Callable[[str], Argument]


def _parse_origin(word: str) -> Endpoint:
    return parse_endpoint(word, role="source")


def _parse_directory(word: str) -> Endpoint:
    return parse_endpoint(word, role="source", read_only=True)


def _parse_destination(word: str) -> Endpoint:
    place = parse_endpoint(word, role="destination")
    if _OURS.search(place.path):
        raise ScriptError(
            f"the destination's path {shown(place.path)} holds a name of the transfer manager's "
            "own temporary files, which are swept: choose another"
        )
    return place


def _parse_size(word: str) -> int:
    if re.fullmatch(r"[0-9]{1,12}", word) and 1 <= int(word) <= MAX_MIB:
        return int(word)
    raise ScriptError(f"the size {shown(word)} is not a whole number of MiB from 1 to {MAX_MIB}")


def _parse_filesystem(word: str) -> str:
    if word.isascii() and word.lower() in FILESYSTEMS:
        return word.lower()
    known = ", ".join(FILESYSTEMS)
    raise ScriptError(f"the file system {shown(word)} is unknown (known are {known})")


_SOURCE = _Slot("<host>:<path>", "tm_source", _parse_origin)
_ANY_SOURCE = _Slot("<host>:<path>|<URL>", "tm_source", parse_source)
_DIRECTORY = _Slot("<host>:<directory>", "tm_source", _parse_directory)
_DESTINATION = _Slot("<host>:<path>", "tm_destination", _parse_destination)
_SIZE = _Slot("<MiB>", "tm_size_mib", _parse_size)
_FILESYSTEM = _Slot("<filesystem>", "tm_filesystem", _parse_filesystem)

_FORMS: Mapping[Verb, tuple[tuple[_Slot, ...], ...]] = {
    Verb.CLONE: ((_ANY_SOURCE, _DESTINATION),),
    Verb.LN: ((_ANY_SOURCE, _DESTINATION),),
    Verb.MKSWAP: ((_SIZE, _DESTINATION),),
    Verb.MKIMAGE: ((_DIRECTORY, _DESTINATION), (_SIZE, _FILESYSTEM, _DESTINATION)),
    Verb.DELETE: ((_SOURCE,),),
    Verb.MV: ((_SOURCE, _DESTINATION),),
}


def job_for(
    vm_id: int, actions: Sequence[Action], configuration: Configuration, *, marker: str
) -> Job:
    """Make the job that carries a transfer script out.

    Args:
        vm_id: the VM's number, or -1 at a prompt.
        actions: of the script.
        configuration: of the driver.
        marker: value of ``TM_ANSIBLE_RUN`` in the environment of the run's processes.

    Returns:
        The job, for the engine.

    Raises:
        ScriptError: an action's words are wrong, or the map has no program for it; the message
            begins with the line.
    """
    runs: list[PlaybookRun] = []
    hosts: dict[str, None] = {}
    copies: dict[str, None] = {}
    for action in actions:
        try:
            program = _program_for(action.verb, configuration)
            arguments = _parse_arguments(action, program, _front_ends(configuration))
            check_owner(vm_id, action.verb, arguments, _vm_directories(action.verb, configuration))
        except ScriptError as error:
            raise ScriptError(f"line {action.line}: {error}") from None
        runs.append(_playbook_run(vm_id, action, arguments, program, configuration))
        names = _hosts_of(arguments, program, configuration)
        hosts |= dict.fromkeys(names)
        links = _is_ours(program, _LINKING, configuration)
        if _may_copy(action.verb, arguments, names, links=links):
            copies |= dict.fromkeys(names)
    hosts.pop(LOCAL, None)
    return Job(
        vm_id=vm_id,
        actions=join(runs, configuration.content.root / "playbooks"),
        hosts=tuple(hosts),
        copies=tuple(copies),
        defaults=dict(configuration.defaults),
        options=configuration.options,
        environment=dict(configuration.environment),
        collections=str(configuration.content.collections),
        marker=marker,
    )


def _vm_directories(verb: Verb, configuration: Configuration) -> list[str]:
    """Give where VMs have their directories, and a site allows this verb besides."""
    defaults = configuration.defaults
    return [*defaults["tm_allowed_dirs"], *defaults["tm_allowed_for"].get(verb.value, [])]


def _hosts_of(
    arguments: Mapping[str, Argument], program: Program, configuration: Configuration
) -> list[str]:
    if _is_ours(program, _CENTRAL, configuration):
        return [LOCAL]
    places = (place for place in arguments.values() if isinstance(place, Endpoint))
    return [_inventory_name(place, configuration) for place in places]


def _is_ours(program: Program, models: Collection[str], configuration: Configuration) -> bool:
    """Tell whether a program is a playbook of ours of one of these models."""
    playbooks = configuration.content.root / "playbooks"
    return Path(program.path).parent in [playbooks / model for model in models]


def _may_copy(
    verb: Verb, arguments: Mapping[str, Argument], hosts: Collection[str], *, links: bool
) -> bool:
    """Tell whether an action may copy an image, as far as its words and its playbook tell."""
    if verb is Verb.LN:
        return not (links and isinstance(arguments["tm_source"], Endpoint))
    between_hosts = len(set(hosts)) > 1
    return verb is Verb.CLONE or (verb in (Verb.MV, Verb.MKIMAGE) and between_hosts)


def _program_for(verb: Verb, configuration: Configuration) -> Program:
    program = configuration.programs.get(verb)
    if program is None:
        raise ScriptError(f"{configuration.map_path} names no program for {verb.value}: add one")
    return program


def _parse_arguments(
    action: Action, program: Program, front_ends: Collection[str]
) -> dict[str, Argument]:
    words = action.arguments
    form = next((form for form in _FORMS[action.verb] if len(form) == len(words)), None)
    if form is None:
        expected = " or ".join(_describe(action.verb, form) for form in _FORMS[action.verb])
        count = "1 word" if len(words) == 1 else f"{len(words)} words"
        raise ScriptError(f"expected {expected}, found {count} behind {action.verb.value}")
    return {
        slot.variable: _parse_word(slot, word, program, front_ends)
        for slot, word in zip(form, words, strict=True)
    }


def _describe(verb: Verb, form: tuple[_Slot, ...]) -> str:
    return " ".join((verb.value, *(slot.shape for slot in form)))


def _parse_word(slot: _Slot, word: str, program: Program, front_ends: Collection[str]) -> Argument:
    if slot is not _ANY_SOURCE:
        return slot.parse(word)
    try:
        return parse_source(word, hosts=front_ends)
    except ScriptError:
        if program.kind != "script":
            raise
    # The guide passes a source with a colon to the site's script untouched.
    check_word(word, role="source")
    return Opaque(word)


def _playbook_run(
    vm_id: int,
    action: Action,
    arguments: Mapping[str, Argument],
    program: Program,
    configuration: Configuration,
) -> PlaybookRun:
    place = arguments.get("tm_destination", arguments.get("tm_source"))
    assert isinstance(place, Endpoint)  # noqa: S101 (every form has a place where it acts)
    variables: dict[str, Value] = {
        "tm_verb": action.verb.value,
        "tm_vm_id": vm_id,
        "tm_host": _inventory_name(place, configuration),
        "tm_arguments": list(action.arguments),
    }
    source = arguments.get("tm_source")
    if isinstance(source, Url) and program.kind != "script":
        # Only an action script has no other way to learn a URL's user and password.
        variables["tm_arguments"] = [source.shown, *action.arguments[1:]]
    for name, value in arguments.items():
        variables[name] = value if isinstance(value, int) else str(value)
    playbook = program.path
    if program.kind == "script":
        variables["tm_script"] = program.path
        playbook = str(configuration.content.root / "playbooks" / "script.yml")
    label = f"{action.verb.value} {place.host}"
    return PlaybookRun(labels=(label,), playbook=playbook, variables=variables)


def _inventory_name(place: Endpoint, configuration: Configuration) -> str:
    return LOCAL if place.host.lower() in _front_ends(configuration) else place.host


def _front_ends(configuration: Configuration) -> frozenset[str]:
    """Host names are the same in upper and lower case."""
    return frozenset(name.lower() for name in configuration.front_ends)
