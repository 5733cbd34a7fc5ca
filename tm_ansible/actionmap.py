"""The action map: which playbook or action script carries each action out."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tm_ansible.content import ContentRoot
from tm_ansible.errors import SettingsError
from tm_ansible.locations import Locations
from tm_ansible.script import Verb
from tm_ansible.template import parse_template


@dataclass(frozen=True, slots=True)
class Program:
    """What carries an action out.

    Attributes:
        kind: an Ansible playbook, or an action script by the rules of the storage guide.
        path: absolute.
    """

    kind: Literal["playbook", "script"]
    path: str


def find_map(argument: str, locations: Locations) -> Path:
    """Find the action map that ``arguments`` of a TM_MAD names.

    Args:
        argument: absolute, or relative to OpenNebula's ``etc``; a directory stands for the
            map in it that has its name.
        locations: of the installation of OpenNebula.

    Returns:
        The path of a file.

    Raises:
        SettingsError: there is none.
    """
    if not argument:
        raise SettingsError(
            "no action map is named: set arguments in TM_MAD, "
            'such as "tm_ansible_nfs/tm_ansible_nfs.conf"'
        )
    path = locations.etc / argument
    try:
        if path.is_dir():
            path = path / f"{path.name}.conf"
        found = path.is_file()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    if not found:
        raise SettingsError(
            f"{path}: no such action map: correct arguments in TM_MAD or run 'tm-ansible install'"
        )
    return path


def read_map(map_path: Path, content: ContentRoot, locations: Locations) -> Mapping[Verb, Program]:
    """Read an action map.

    Args:
        map_path: the file, in oned's template grammar: ``CLONE = ssh/clone.yml``.
        content: whose playbooks are looked through behind the map's directory.
        locations: whose stock action scripts are looked through behind the map's directory.

    Returns:
        What carries each action out.

    Raises:
        SettingsError: the map cannot be read, or a line names no action or no program.
    """
    try:
        template = parse_template(map_path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{map_path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{map_path}: is not UTF-8") from None
    except SettingsError as error:
        raise SettingsError(f"{map_path}: {error}") from None
    playbooks = (map_path.parent, content.root / "playbooks")
    scripts = (map_path.parent, locations.lib / "tm_commands")
    programs: dict[Verb, Program] = {}
    for attribute in template.attributes:
        where = f"{map_path}: line {attribute.line}: {attribute.name}"
        verb = _known_verb(attribute.name, where)
        if verb in programs:
            raise SettingsError(f"{where} is set twice: keep one")
        if not isinstance(attribute.value, str) or not attribute.value:
            raise SettingsError(f"{where} must be the name of a playbook or an action script")
        programs[verb] = _find_program(attribute.value, where, playbooks, scripts)
    return programs


def _known_verb(name: str, where: str) -> Verb:
    if name in Verb.__members__:
        return Verb(name)
    from difflib import get_close_matches  # noqa: PLC0415 (only a failing start needs it)

    near = get_close_matches(name, Verb.__members__, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(Verb.__members__)}"
    raise SettingsError(f"{where} is no action; {hint}")


def _find_program(
    value: str, where: str, playbooks: Iterable[Path], scripts: Iterable[Path]
) -> Program:
    if value.endswith((".yml", ".yaml")):
        return Program("playbook", str(_find_file(value, where, "playbook", playbooks)))
    found = _find_file(value, where, "action script", scripts)
    if not os.access(found, os.X_OK):
        raise SettingsError(f"{where}: {found} is not executable: run chmod +x {found}")
    return Program("script", str(found))


def _find_file(value: str, where: str, kind: str, directories: Iterable[Path]) -> Path:
    # An absolute value stays what it is when it is put behind a directory.
    places = list(dict.fromkeys(directory / value for directory in directories))
    for place in places:
        if place.is_file():
            return place
    tried = " or ".join(map(str, places))
    raise SettingsError(f"{where}: there is no {kind} {tried}")
