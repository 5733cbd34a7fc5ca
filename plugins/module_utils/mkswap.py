"""MKSWAP on one host: a sparse file with a swap signature."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, attributes_of
from ansible_collections.one.tm.plugins.module_utils.directories import workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.files import new_file, publish, temporary_name
from ansible_collections.one.tm.plugins.module_utils.policy import check_destination, policy_of
from ansible_collections.one.tm.plugins.module_utils.programs import find, writing
from ansible_collections.one.tm.plugins.module_utils.programs import run as run_program
from ansible_collections.one.tm.plugins.module_utils.room import capacity, filling
from ansible_collections.one.tm.plugins.module_utils.signatures import look
from ansible_collections.one.tm.plugins.module_utils.sizes import MIB, human


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Make a swap image unless one of that size is there.

    Args:
        params: destination, size_mib, mode, owner, group, those of ``policy.ARGUMENTS``.
        check_mode: only tell what would be done.

    Raises:
        TmError: the path or size is refused, or the host has no mkswap.
    """
    attributes = attributes_of(params)
    destination = check_destination(params["destination"], policy_of(params))
    size = checked_size(params["size_mib"], destination)
    name = os.path.basename(destination)
    there = look(destination)
    if there and (there.kind, there.size) == ("swap", size):
        return {"changed": False, "tm_log": ["swap %s is already there" % name]}
    program = find("mkswap", "util-linux")
    if not check_mode:
        _make(program, destination, size, attributes)
    done = "would make" if check_mode else "made"
    return {"changed": True, "tm_log": ["%s swap %s, %s" % (done, name, human(size))]}


def _make(program: str, destination: str, size: int, attributes: Attributes) -> None:
    below, full = workplace(destination, attributes), filling(os.path.dirname(destination), size)
    with below as place, about(destination), writing(destination), full, new_file(place) as made:
        os.ftruncate(made, size)
        directory, temporary = os.path.split(temporary_name(place))
        run_program([program, "./" + temporary], directory)
        publish(temporary_name(place), place, attributes)


def checked_size(size_mib: int, destination: str) -> int:
    """Return a size in bytes, or refuse it.

    Args:
        size_mib: in MiB, as the script has it.
        destination: path of the image; its file system bounds the size.

    Raises:
        TmError: it is not positive, or more than the file system can ever hold.
    """
    if size_mib <= 0:
        raise TmError("a size of %d MiB is no size; give 1 or more" % size_mib)
    directory = os.path.dirname(destination)
    limit = capacity(directory)
    if size_mib * MIB > limit:
        raise TmError(
            "%d MiB is more than the file system of %s can ever hold (%s)"
            % (size_mib, directory, human(limit))
        )
    return size_mib * MIB
