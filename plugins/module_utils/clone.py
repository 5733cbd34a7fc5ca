"""CLONE on one host: an image from path to path."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils.attributes import attributes_of
from ansible_collections.one.tm.plugins.module_utils.copying import copy, is_complete, open_source
from ansible_collections.one.tm.plugins.module_utils.paths import check_source, checked
from ansible_collections.one.tm.plugins.module_utils.sizes import human


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Copy an image unless the destination is that copy already.

    Args:
        params: source, destination, source_dirs, mode, owner, group.
        check_mode: only tell what would be done.

    Raises:
        TmError: a path is refused, or the copy failed.
    """
    attributes = attributes_of(params)
    destination = checked(params["destination"], "destination")
    source = open_source(check_source(params["source"], params["source_dirs"]))
    try:
        names = (os.path.basename(source.path), os.path.basename(destination))
        if is_complete(source, destination):
            return {"changed": False, "tm_log": ["%s is already complete" % names[1]], "bytes": 0}
        if not check_mode:
            copy(source, destination, attributes)
        done = "would copy" if check_mode else "copied"
        log = "%s %s to %s, %s" % (done, names[0], names[1], human(source.size))
        return {"changed": True, "tm_log": [log], "bytes": source.size}
    finally:
        os.close(source.descriptor)
