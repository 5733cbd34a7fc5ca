"""LN on one host: a symbolic link to an image."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils import formats, lifeline
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, attributes_of
from ansible_collections.one.tm.plugins.module_utils.copying import Source, open_allowed
from ansible_collections.one.tm.plugins.module_utils.directories import workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.files import (
    rename,
    temporary_name,
)
from ansible_collections.one.tm.plugins.module_utils.making import clear
from ansible_collections.one.tm.plugins.module_utils.paths import tidy
from ansible_collections.one.tm.plugins.module_utils.policy import (
    check_destination,
    is_within,
    policy_of,
)

EVERYBODYS = "/dev/shm"  # noqa: S108


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Link to an image unless that link is there already.

    The link leads to the real path: whoever owns a link on the way could redirect it later.

    Args:
        params: source, destination, source_dirs, format, those of ``policy.ARGUMENTS``, and mode,
            owner, group of the directory, if it has to be made.
        check_mode: only tell what would be done.

    Raises:
        TmError: a path is refused, there is no such image, or a file is in the way.
    """
    attributes = attributes_of(params)
    policy = policy_of(params)
    destination = check_destination(params["destination"], policy)
    source = tidy(params["source"])
    opened = open_allowed(source, policy)
    try:
        formats.check(source, opened.descriptor, formats.rules_of(params))
    finally:
        os.close(opened.descriptor)
    name, real = os.path.basename(destination), _lasting(opened)
    there = _target(destination)
    if there and there in (source, real):
        return {"changed": False, "tm_log": ["%s is already a link to %s" % (name, there)]}
    if not check_mode:
        _link(real, destination, attributes)
    done = "would link" if check_mode else "linked"
    return {"changed": True, "tm_log": ["%s %s to %s" % (done, name, real)]}


def _lasting(source: Source) -> str:
    """Return the path that goes on leading to a source.

    Disks keep the names that the system gives them in /dev; what these lead to, such as
    /dev/dm-0, may be another disk after a boot.
    """
    is_named_by_system = is_within(source.path, "/dev") and not is_within(source.path, EVERYBODYS)
    return source.real if source.is_file or not is_named_by_system else source.path


def _target(destination: str) -> str:
    """Return where a link points to; nothing if there is none."""
    if os.path.islink(destination):
        return os.readlink(destination)
    if os.path.lexists(destination):
        raise TmError("%s exists and is no link; delete it first" % destination)
    return ""


def _link(source: str, destination: str, attributes: Attributes) -> None:
    with workplace(destination, attributes) as place:
        temporary = temporary_name(place)
        clear(temporary, place)
        with lifeline.temporary(temporary):
            os.symlink(source, temporary)
            rename(temporary, place)
