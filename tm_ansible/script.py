"""Transfer scripts: text ↔ actions with line numbers.

The form is oned's: one action a line, words split on blanks, no quoting at all.
"""

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from tm_ansible.endpoint import Endpoint, Url, parse_endpoint, parse_source, shown
from tm_ansible.errors import ScriptError

__all__ = [
    "MAX_ACTIONS",
    "MAX_SCRIPT",
    "Action",
    "Endpoint",
    "Url",
    "Verb",
    "parse_endpoint",
    "parse_script",
    "parse_source",
    "read_script",
    "render_script",
]

MAX_SCRIPT = 1 << 20
MAX_ACTIONS = 10_000


class Verb(str, Enum):
    """What an action does, as oned spells it."""

    CLONE = "CLONE"
    LN = "LN"
    MKSWAP = "MKSWAP"
    MKIMAGE = "MKIMAGE"
    DELETE = "DELETE"
    MV = "MV"


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a transfer script.

    Attributes:
        line: its number, counted from 1.
        verb: what to do.
        arguments: the words behind the verb, as they stand.
    """

    line: int
    verb: Verb
    arguments: tuple[str, ...]


def parse_script(text: str) -> tuple[Action, ...]:
    """Read a transfer script.

    Args:
        text: the whole of it.

    Returns:
        Its actions in order; none for an empty script.

    Raises:
        ScriptError: a line names no action, or there are more than ``MAX_ACTIONS``.
    """
    actions: list[Action] = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = re.split(r"[ \t]+", line.strip(" \t\r"))
        if not words[0] or words[0].startswith("#"):
            continue
        if len(actions) == MAX_ACTIONS:
            raise ScriptError(f"line {number}: more than {MAX_ACTIONS} actions in one script")
        actions.append(Action(number, _parse_verb(words[0], number), tuple(words[1:])))
    return tuple(actions)


def _parse_verb(word: str, line: int) -> Verb:
    # Upper-casing turns some characters that are not ASCII into letters that are.
    if word.isascii() and word.upper() in Verb.__members__:
        return Verb(word.upper())
    known = ", ".join(Verb.__members__)
    raise ScriptError(f"line {line}: unknown action {shown(word)} (known are {known})")


def render_script(actions: Iterable[Action]) -> str:
    """Write actions as a script; parsing it gives the same actions again.

    Args:
        actions: in order; each is put on its own line number where that is still to come.

    Returns:
        The text.
    """
    text, line = "", 1
    for action in actions:
        gap = max(action.line - line, 0)
        text += "\n" * gap + " ".join((action.verb.value, *action.arguments)) + "\n"
        line += gap + 1
    return text


def read_script(path: str) -> str:
    """Read a transfer script's file, at once and only if it is one.

    Args:
        path: of a regular file of at most ``MAX_SCRIPT`` bytes of UTF-8.

    Returns:
        The text.

    Raises:
        ScriptError: it is missing, unreadable, too large, or not a text file.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO that nobody writes would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = _read_regular(descriptor, path)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise ScriptError(f"transfer script {shown(path)} does not exist") from None
    except OSError as error:
        cause = error.strerror or error
        raise ScriptError(f"transfer script {shown(path)} cannot be read: {cause}") from None
    except ValueError:  # a NUL in the name
        raise ScriptError(f"transfer script {shown(path)} has an impossible name") from None
    return _decode(data, path)


def _read_regular(descriptor: int, path: str) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ScriptError(f"transfer script {shown(path)} is not a regular file")
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(MAX_SCRIPT + 1)


def _decode(data: bytes, path: str) -> str:
    if len(data) > MAX_SCRIPT:
        raise ScriptError(f"transfer script {shown(path)} is larger than {MAX_SCRIPT} bytes")
    if b"\0" in data:
        raise ScriptError(f"transfer script {shown(path)} is binary: it holds NUL bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptError(
            f"transfer script {shown(path)} is not UTF-8 (line {line}): rename the image"
        ) from None
