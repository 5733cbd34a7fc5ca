"""CLONE on one host: an image from path to path."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils import formats
from ansible_collections.one.tm.plugins.module_utils.attributes import attributes_of
from ansible_collections.one.tm.plugins.module_utils.copying import copy, is_complete, open_allowed
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from ansible_collections.one.tm.plugins.module_utils.paths import tidy
from ansible_collections.one.tm.plugins.module_utils.policy import check_destination, policy_of
from ansible_collections.one.tm.plugins.module_utils.sizes import human


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Copy an image unless the destination is that copy already.

    Args:
        params: source, destination, format, mode, owner, group, bandwidth_mib, source_dirs and
            those of ``policy.ARGUMENTS``.
        check_mode: only tell what would be done.

    Raises:
        TmError: a path is refused, or the copy failed.
    """
    attributes = attributes_of(params)
    policy = policy_of(params)
    destination = check_destination(params["destination"], policy)
    source = open_allowed(tidy(params["source"]), policy)
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
