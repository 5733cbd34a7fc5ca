"""DELETE on one host."""

import os
import time
from typing import Any, Dict, Iterator, Optional

from ansible_collections.one.tm.plugins.module_utils import entries, listing, removal, temporary
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.mounts import refuse_mounts
from ansible_collections.one.tm.plugins.module_utils.policy import check_removable, policy_of
from ansible_collections.one.tm.plugins.module_utils.sizes import count, human

# How long an action that was cancelled may take to end on its host, and the time between two looks.
WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.05


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Remove a file, a link (not its target) or a tree, if it is there.

    Args:
        params: path, those of ``policy.ARGUMENTS``; proven, the state of its proven copy, if there
            is one.
        check_mode: only tell what would be done.

    Raises:
        TmError: the path is refused, or has changed since it was copied, or is being written.
    """
    real = check_removable(params["path"], policy_of(params))
    if not check_mode:
        await_writers(real)
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


def await_writers(real: str) -> None:
    """Wait until nobody makes an image there: an action that was cancelled ends first.

    Args:
        real: path of a file or a directory, which may be about to appear.

    Raises:
        TmError: somebody still does; or a file system is mounted on or below it.
    """
    refuse_mounts(real)
    deadline = time.monotonic() + WAIT_SECONDS
    held = [path for path in _parts(real) if temporary.is_held(path)]
    while held:
        if time.monotonic() > deadline:
            raise TmError(
                "%s is still being written, by an action that has not ended; end what holds %s "
                "(see fuser), and delete again" % (real, held[0])
            )
        time.sleep(PAUSE_SECONDS)
        held = [path for path in held if temporary.is_held(path)]


def _parts(real: str) -> Iterator[str]:
    """List what a path, or something below it, may be made as."""
    yield temporary.temporary_name(real)
    if os.path.islink(real):
        return
    for directory, directories, files in listing.walk(real):
        for name in directories + files:
            if temporary.NAME.match(name) and name.endswith("." + temporary.PART):
                yield os.path.join(directory, name)


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
