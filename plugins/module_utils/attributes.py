"""Mode, owner and group of new images."""

import grp
import os
import pwd
import re
import stat
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple, Union

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxX]*)")
MASKS = {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}

# What modules and actions that make images take, as AnsibleModule's arguments.
ARGUMENTS = {
    "mode": {"type": "raw", "default": "a+w"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}


class Attributes(NamedTuple):
    """What a new image gets.

    Attributes:
        mode: as chmod takes it (``a+w``, ``0660``), or a number; None keeps what is there.
        owner: user name or number, or None.
        group: group name or number, or None.
    """

    mode: Optional[Union[str, int]] = None
    owner: Optional[str] = None
    group: Optional[str] = None


def attributes_of(params: Mapping[str, Any]) -> Attributes:
    """Return the attributes among a module's parameters, checked.

    Raises:
        TmError: the mode is none, or this host does not know the owner or group.
    """
    attributes = Attributes(params.get("mode"), params.get("owner"), params.get("group"))
    owner_ids(attributes)
    if attributes.mode not in (None, ""):
        parse_mode(attributes.mode, 0)
    return attributes


def parse_mode(mode: Union[str, int], base: int, directory: bool = False) -> int:
    """Return permission bits as chmod(1) would set them.

    Args:
        mode: symbolic or octal text, or a number.
        base: the bits that a symbolic mode changes.
        directory: whether it is for a directory: an octal mode then lets those enter who may read.

    Raises:
        TmError: the text is no mode.
    """
    if isinstance(mode, int) or re.match(r"[0-7]{1,4}$", mode):
        bits = mode if isinstance(mode, int) else int(mode, 8)
        return bits | ((bits & 0o444) >> 2) if directory else bits
    bits = base
    for clause in mode.split(","):
        match = CLAUSE.match(clause)
        if not match or match.end() != len(clause):
            raise TmError("the mode %r is neither octal (0660) nor symbolic (a+w)" % mode)
        bits = _apply_clause(bits, match.group(1) or "a", match.group(2), match.group(3), directory)
    return bits


def _apply_clause(bits: int, who: str, operation: str, letters: str, directory: bool) -> int:
    mask = 0
    for letter in who:
        mask |= MASKS[letter]
    wanted = 0
    for letter in letters:
        if letter == "X" and not (directory or bits & 0o111):
            continue
        wanted |= {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0o111}[letter]
    if operation == "-":
        return bits & ~(wanted & mask)
    if operation == "=":
        bits &= ~mask
    return bits | (wanted & mask)


def owner_ids(attributes: Attributes) -> Tuple[int, int]:
    """Return user and group number of attributes; -1 keeps what is there.

    Raises:
        TmError: this host does not know the user or group.
    """
    return (
        _number(attributes.owner, "user", lambda name: pwd.getpwnam(name).pw_uid),
        _number(attributes.group, "group", lambda name: grp.getgrnam(name).gr_gid),
    )


def _number(name: Optional[str], kind: str, look_up: Callable[[str], int]) -> int:
    if name is None or name == "":
        return -1
    if str(name).isdigit():
        return int(name)
    try:
        return look_up(str(name))
    except KeyError:
        raise TmError(
            "this host knows no %s %s; create it or change the setting" % (kind, name)
        ) from None


def set_attributes(descriptor: int, attributes: Attributes, fresh: bool = True) -> None:
    """Set owner, group and mode of an open file or directory.

    Args:
        descriptor: of the file or directory.
        attributes: what to set.
        fresh: whether a symbolic mode changes ``0666`` (``0777``) less the umask, as for a file
            just made, instead of the mode that is there.
    """
    user, group = owner_ids(attributes)
    if (user, group) != (-1, -1):
        os.fchown(descriptor, user, group)
    if attributes.mode not in (None, ""):
        now = os.fstat(descriptor).st_mode
        directory = stat.S_ISDIR(now)
        base = (0o777 if directory else 0o666) & ~umask() if fresh else stat.S_IMODE(now)
        bits = parse_mode(attributes.mode, base, directory)
        # Else what has its mode already would get a time of change.
        if bits != stat.S_IMODE(now):
            os.fchmod(descriptor, bits)


def umask() -> int:
    """Return the process's umask."""
    value = os.umask(0o022)
    os.umask(value)
    return value
