"""MV on one host."""

import errno
import functools
import os
from typing import Any, Callable, Dict, Iterator, Optional

from ansible_collections.one.tm.plugins.module_utils import entries, formats, listing, removal
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes
from ansible_collections.one.tm.plugins.module_utils.directories import anchored, workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.files import (
    new_directory,
    rename,
    replaced_name,
)
from ansible_collections.one.tm.plugins.module_utils.lifeline import discard
from ansible_collections.one.tm.plugins.module_utils.marker import is_destination, placed
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from ansible_collections.one.tm.plugins.module_utils.mounts import refuse_mounts
from ansible_collections.one.tm.plugins.module_utils.policy import (
    check_destination,
    check_removable,
    check_saved,
    check_unused,
    policy_of,
)
from ansible_collections.one.tm.plugins.module_utils.remove import check_proven
from ansible_collections.one.tm.plugins.module_utils.room import filling, need_room
from ansible_collections.one.tm.plugins.module_utils.tree import copy_tree, prove_tree

KEEP = Attributes()


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Move a file or tree, if it is not yet where it should be.

    Args:
        params: source, destination, into, source_dirs, format, bandwidth_mib, those of
            ``policy.ARGUMENTS``.
        check_mode: only tell what would be done.

    Raises:
        TmError: a path is refused, there is nothing to move, or the move failed.
    """
    policy = policy_of(params)
    source = check_removable(params["source"], policy, "source")
    asked = check_destination(params["destination"], policy, repositories=True)
    final = final_place(source, asked, params["into"])
    final = check_destination(final, policy, repositories=True)
    if _is_one(source, final) or not os.path.lexists(source):
        return _nothing_to_do(source, final, check_mode)
    if final.startswith(source + "/"):
        raise TmError("refused to move %s into itself, to %s" % (source, final))
    check_unused(final, policy)
    check_saved(final, _names_in(source), policy)
    if os.path.isfile(source):
        formats.check_path(source, formats.rules_of(params))
    what = "%s to %s" % (source, final)
    if check_mode:
        return {"changed": True, "tm_log": ["would move " + what], "path": final}
    tidy_up(source)
    check = functools.partial(check_unused, final, policy)
    meter = move(source, final, params.get("bandwidth_mib") or 0, check)
    if meter is None:
        return _nothing_to_do(source, final, check_mode)
    result = {"changed": True, "tm_log": ["moved " + what], "path": final, "bytes": meter.bytes}
    if meter.bytes:
        result.update(tm_log=["moved %s: %s" % (what, meter.summary())], copy_seconds=meter.seconds)
    return result


def _names_in(directory: str) -> Iterator[str]:
    """Yield the paths of what is in a directory, relative to it; nothing for a file or link."""
    if os.path.islink(directory) or not os.path.isdir(directory):
        return
    for parent, directories, others in listing.walk(directory, strict=True):
        for name in directories + others:
            yield os.path.relpath(os.path.join(parent, name), directory)


def final_place(source: str, destination: str, into: bool) -> str:
    """Return where a source ends up.

    A directory that is there takes the source into it, unless both have the same name: then it is
    what a resume or a migration left over, and is replaced.

    Args:
        source: path of what is moved.
        destination: path as the action names it.
        into: whether directories take things at all.
    """
    name = os.path.basename(source)
    if into and os.path.isdir(destination) and os.path.basename(destination) != name:
        return os.path.join(destination, name)
    return destination


def _is_one(source: str, final: str) -> bool:
    """Tell whether both are one file or directory under two names."""
    try:
        return os.path.samestat(os.lstat(source), os.lstat(final))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _nothing_to_do(source: str, final: str, check_mode: bool) -> Dict[str, Any]:
    if not os.path.lexists(final):
        raise TmError("the source %s does not exist" % source)
    if not os.path.lexists(source) and not check_mode:
        tidy_up(source)
    return {"changed": False, "tm_log": ["%s is already in its place" % final], "path": final}


def tidy_up(source: str) -> None:
    """Remove what an interrupted move left of its source under a name of ours."""
    if os.path.lexists(removal.doomed_name(source)):
        removal.remove_doomed(source)


def move(
    source: str, final: str, mib_per_second: float = 0, check: Callable[[], None] = lambda: None
) -> Optional[Meter]:
    """Rename, or copy, prove and remove where the file systems differ.

    Args:
        source: real path of a file, link or tree.
        final: its real path from now on; a file or directory there is replaced by its like.
        mib_per_second: the host's limit of bandwidth; 0 for none.
        check: called before a copy gets its name; raises if it may not have that any more.

    Returns:
        What measured it; None, with nothing done, if both are one place that is mounted twice.

    Raises:
        TmError: a mount point is in the way, or the copy could not be proven.
        OSError: it failed; the source is as it was.
    """
    refuse_mounts(source)
    if os.path.isdir(final) and not os.path.islink(final):
        refuse_mounts(final)
    meter = Meter(os.path.basename(source), 0)
    with workplace(final, KEEP) as place:
        try:
            with anchored(source) as here:
                rename(here, place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            tally = removal.survey(source)
            meter = Meter(os.path.basename(source), tally.length, mib_per_second)
            with about(final):
                if not _move_across(source, place, tally, meter, check):
                    return None
        discard(replaced_name(place))
    return meter


def _move_across(
    source: str, final: str, tally: removal.Tally, meter: Meter, check: Callable[[], None]
) -> bool:
    directory = os.path.dirname(final)
    with filling(directory, tally.size), new_directory(final) as work:
        # Only now what an earlier attempt left there is gone.
        need_room(directory, tally.size)
        with placed(final) as marker:
            if is_destination(source, marker, os.path.basename(final)):
                return False
        copy = os.path.join(work, "copy")
        state = None if os.path.islink(source) else entries.scan(source).state()
        copy_tree(source, copy, meter)
        prove_tree(source, copy, Meter(os.path.basename(source) + " compared", tally.length))
        check_proven(source, state)
        check()
        rename(copy, final)
    removal.remove(source)
    return True
