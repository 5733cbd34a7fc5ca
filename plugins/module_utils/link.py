"""LN on one host: a symbolic link to an image."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils import formats, lifeline
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, attributes_of
from ansible_collections.one.tm.plugins.module_utils.copying import open_allowed
from ansible_collections.one.tm.plugins.module_utils.directories import workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.files import (
    rename,
    temporary_name,
)
from ansible_collections.one.tm.plugins.module_utils.making import clear
from ansible_collections.one.tm.plugins.module_utils.paths import tidy
from ansible_collections.one.tm.plugins.module_utils.policy import check_destination, policy_of


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Link to an image unless that link is there already.

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
    os.close(open_allowed(source, policy).descriptor)
    formats.check_path(source, formats.rules_of(params))
    name = os.path.basename(destination)
    if _target(destination) == source:
        return {"changed": False, "tm_log": ["%s is already a link to %s" % (name, source)]}
    if not check_mode:
        _link(source, destination, attributes)
    done = "would link" if check_mode else "linked"
    return {"changed": True, "tm_log": ["%s %s to %s" % (done, name, source)]}


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
