"""LN on one host: a symbolic link to an image."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils import formats, lifeline
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, attributes_of
from ansible_collections.one.tm.plugins.module_utils.copying import open_source
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.files import (
    clear,
    make_directory,
    rename,
    temporary_name,
)
from ansible_collections.one.tm.plugins.module_utils.paths import check_source, checked


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Link to an image unless that link is there already.

    Args:
        params: source, destination, source_dirs, format, mode, owner, group; the
            last three are those of the directory, if it has to be made.
        check_mode: only tell what would be done.

    Raises:
        TmError: a path is refused, there is no such image, or a file is in the way.
    """
    attributes = attributes_of(params)
    destination = checked(params["destination"], "destination")
    source = check_source(params["source"], params["source_dirs"])
    os.close(open_source(source).descriptor)
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
    make_directory(os.path.dirname(destination), attributes)
    temporary = temporary_name(destination)
    clear(temporary, destination)
    with lifeline.temporary(temporary):
        os.symlink(source, temporary)
        rename(temporary, destination)
