"""The two ends of a download that a site's own task file does."""

import os
import stat
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils import attributes, files, formats
from ansible_collections.one.tm.plugins.module_utils.directories import anchored, workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.lifeline import discard
from ansible_collections.one.tm.plugins.module_utils.policy import check_destination, policy_of
from ansible_collections.one.tm.plugins.module_utils.sizes import human
from ansible_collections.one.tm.plugins.module_utils.tree import same_contents


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Prepare a temporary file's place, publish the file, or discard it.

    Args:
        params: destination, state, format, mode, owner, group, those of ``policy.ARGUMENTS``.
        check_mode: only tell what would be done.

    Raises:
        TmError: the path is refused, or there is no file to publish.
    """
    wanted = attributes.attributes_of(params)
    destination = check_destination(params["destination"], policy_of(params))
    temporary = _temporary(destination)
    steps = {"prepared": _prepare, "published": _publish, "discarded": _discard}
    result = {"changed": False, "path": temporary}  # type: Dict[str, Any]
    if not check_mode and params["state"] == "published":
        _check(temporary, params)
    if not check_mode:
        result.update(steps[params["state"]](destination, wanted))
    return result


def _temporary(destination: str) -> str:
    return files.temporary_name(destination, "download")


def _prepare(destination: str, wanted: attributes.Attributes) -> Dict[str, Any]:
    is_there = os.path.isdir(os.path.dirname(destination))
    with workplace(destination, wanted) as place:
        discard(_temporary(place))
    return {"changed": not is_there}


def _check(temporary: str, params: Dict[str, Any]) -> None:
    try:
        state = os.lstat(temporary)
    except FileNotFoundError:
        raise TmError(
            "the site's task file made no file at tm_download_path, %s" % temporary
        ) from None
    if not stat.S_ISREG(state.st_mode):
        raise TmError("what the site's task file made at %s is no file" % temporary)
    formats.check_path(temporary, formats.rules_of(params, alone=True))


def _publish(destination: str, wanted: attributes.Attributes) -> Dict[str, Any]:
    with anchored(destination) as place:
        temporary = _temporary(place)
        state = os.lstat(temporary)
        if os.path.isfile(place) and same_contents(temporary, place):
            discard(temporary)
            return {"tm_log": ["%s is already complete" % os.path.basename(destination)]}
        files.publish(temporary, place, wanted)
    log = "downloaded %s, %s" % (os.path.basename(destination), human(state.st_size))
    return {"changed": True, "tm_log": [log], "bytes": state.st_size}


def _discard(destination: str, _wanted: attributes.Attributes) -> Dict[str, Any]:
    if os.path.isdir(os.path.dirname(destination)):
        with anchored(destination) as place:
            discard(_temporary(place))
    return {}
