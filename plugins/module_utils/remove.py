"""DELETE on one host."""

import os
from typing import Any, Dict, Optional

from ansible_collections.one.tm.plugins.module_utils import entries, removal
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.policy import check_removable, policy_of
from ansible_collections.one.tm.plugins.module_utils.sizes import count, human


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Remove a file, a link (not its target) or a tree, if it is there.

    Args:
        params: path, those of ``policy.ARGUMENTS``; proven, the state of its proven copy, if there
            is one.
        check_mode: only tell what would be done.

    Raises:
        TmError: the path is refused, or has changed since it was copied.
    """
    real = check_removable(params["path"], policy_of(params))
    leftover = os.path.lexists(removal.doomed_name(real))
    try:
        tally = removal.survey(real)
    except FileNotFoundError:
        if leftover and not check_mode:
            removal.remove_doomed(real)
        return {
            "changed": leftover,
            "tm_log": ["%s is already gone" % real],
            "files": 0,
            "bytes": 0,
        }
    check_proven(real, params.get("proven"))
    if not check_mode:
        removal.remove(real)
    done = "would delete" if check_mode else "deleted"
    log = "%s %s (%s, %s)" % (done, real, count(tally.files, "file"), human(tally.size))
    return {"changed": True, "tm_log": [log], "files": tally.files, "bytes": tally.size}


def check_proven(real: str, proven: Optional[str]) -> None:
    """Refuse to remove what has no proven copy: it was written to, or is the copy itself.

    Args:
        real: its path.
        proven: the state that was copied, see ``entries.Tree.state``; None to ask for no proof.

    Raises:
        TmError: it is in another state.
    """
    if proven is not None and entries.scan(real).state() != proven:
        raise TmError(
            "%s is no longer what was copied to its destination, and stays; stop what writes to it"
            % real
        )
