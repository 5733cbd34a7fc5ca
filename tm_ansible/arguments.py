"""The driver's arguments, as TM_MAD of oned.conf has them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tm_ansible.errors import SettingsError

USAGE = """\
usage: one_tm_ansible [-t N] ACTION_MAP

A transfer driver that oned starts; see TM_MAD in oned.conf. By hand, type INIT.

  ACTION_MAP  file with a playbook or script for each action, absolute or relative to etc
  -t N        run N transfers at a time (default: settings.yml, else 10)
  --version   tell the version
  --help      tell this
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the driver was started with.

    Attributes:
        action_map: path as given.
        concurrency: transfers at a time, or None if not given.
    """

    action_map: str
    concurrency: int | None = None


def split_arguments(arguments: Sequence[str]) -> list[str]:
    """Split what oned passes, one string for all, into words; a shell has done that already.

    Args:
        arguments: ``sys.argv`` without the program.

    Returns:
        The words; a string with an open quote is one word, which then names no file.
    """
    if len(arguments) != 1:
        return list(arguments)
    try:
        return shlex.split(arguments[0])
    except ValueError:
        return list(arguments)


def parse_arguments(words: Sequence[str]) -> Arguments:
    """Understand the words.

    Args:
        words: as ``split_arguments`` gives them.

    Returns:
        The arguments.

    Raises:
        SettingsError: the map is missing, or there is more than is known here.
    """
    action_maps, concurrency, rest = [], None, list(words)
    while rest:
        word = rest.pop(0)
        if word == "-t":
            concurrency = _parse_number(rest.pop(0) if rest else "")
        elif word.startswith("-"):
            raise SettingsError(f"unknown option {word}: {_REMEDY}")
        else:
            action_maps.append(word)
    if len(action_maps) != 1:
        number = "more than one" if action_maps else "no"
        raise SettingsError(f"{number} action map: {_REMEDY}")
    return Arguments(action_maps[0], concurrency)


_REMEDY = 'oned.conf needs TM_MAD = [ arguments = "<action map>" ], or "-t <number> <action map>"'


def _parse_number(word: str) -> int:
    if word.isascii() and word.isdigit() and 1 <= int(word) <= 1000:
        return int(word)
    raise SettingsError(f"option -t {word}: give it a number from 1 to 1000")
