"""CLONE on one host: an image from path to path."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils import formats
from ansible_collections.one.tm.plugins.module_utils.attributes import attributes_of
from ansible_collections.one.tm.plugins.module_utils.copying import copy, is_complete, open_source
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from ansible_collections.one.tm.plugins.module_utils.paths import check_source, checked
from ansible_collections.one.tm.plugins.module_utils.sizes import human


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Copy an image unless the destination is that copy already.

    Args:
        params: source, destination, source_dirs, format, mode, owner, group.
        check_mode: only tell what would be done.

    Raises:
        TmError: a path is refused, or the copy failed.
    """
    attributes = attributes_of(params)
    destination = checked(params["destination"], "destination")
    source = open_source(check_source(params["source"], params["source_dirs"]))
    try:
        formats.check(source.path, source.descriptor, formats.rules_of(params))
        names = (os.path.basename(source.path), os.path.basename(destination))
        if is_complete(source, destination):
            return {"changed": False, "tm_log": ["%s is already complete" % names[1]], "bytes": 0}
        what = "%s to %s, %s" % (names[0], names[1], human(source.size))
        if check_mode:
            return {"changed": True, "tm_log": ["would copy " + what], "bytes": source.size}
        meter = Meter(names[0], source.size, params.get("bandwidth_mib") or 0)
        moved = copy(source, destination, attributes, meter)
        return {
            "changed": True,
            "tm_log": ["copied %s%s" % (what, ": " + meter.summary() if moved else ", by reflink")],
            "bytes": meter.bytes,
            "copy_seconds": meter.seconds,
        }
    finally:
        os.close(source.descriptor)
