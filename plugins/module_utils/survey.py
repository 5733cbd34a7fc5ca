"""What a directory or an image holds, so that an image made of a directory is known again.

A file system made from a directory gets an identity (UUID) computed from the directory's contents
and the destination. It outlives whatever a VM writes into the image, so a second run can tell that
this image was made from that directory as it is now.
"""

import contextlib
import hashlib
import os
import stat
import uuid
from typing import Any, Dict, Iterator, NamedTuple, Tuple

from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.listing import check_depth, walk
from ansible_collections.one.tm.plugins.module_utils.paths import checked, tidy
from ansible_collections.one.tm.plugins.module_utils.policy import Policy, policy_of
from ansible_collections.one.tm.plugins.module_utils.signatures import look
from ansible_collections.one.tm.plugins.module_utils.sources import (
    check_tree,
    readable,
    seen,
    unreadable,
)

FS_BLOCK = 4096
INLINE_LINK = 60
NEEDED = "MKIMAGE needs a directory of files"


class Survey(NamedTuple):
    """What a directory holds.

    Attributes:
        entries: number of files, links and directories, itself included.
        size: bytes that their contents need in blocks of 4 KiB.
        digest: of names, types, modes, owners, sizes, times and link targets.
    """

    entries: int
    size: int
    digest: str


def run(params: Dict[str, Any], _check_mode: bool) -> Dict[str, Any]:
    """Tell the identity of an image, or the one that a directory's image will have.

    Args:
        params: path; and destination, filesystem, source_dirs, own_paths, vm_id for a directory.

    Raises:
        TmError: the path is refused, or there is no such directory.
    """
    if params["destination"] is None:
        content = look(checked(params["path"], "image"))
        return {"changed": False, "uuid": content.uuid if content else ""}
    path = tidy(params["path"])
    with opened(path, policy_of(params)) as place:
        survey = take(place, path)
    return {
        "changed": False,
        "uuid": identity(survey, params["destination"], params["filesystem"]),
        "entries": survey.entries,
        "bytes": survey.size,
    }


@contextlib.contextmanager
def opened(path: str, policy: Policy) -> Iterator[str]:
    """Give a path, for the block, that leads to a directory of files that may be read.

    Other processes of this user can use it too.

    Args:
        path: of the directory.
        policy: what the site allows.

    Raises:
        TmError: it is not there, or it or something in it may not be read.
    """
    try:
        with seen(path, policy) as anchor:
            place = "/proc/%d%s/." % (os.getpid(), anchor[len("/proc/self") :])
            if os.path.isdir(anchor):
                names = (name for name, _path in _walk(place, path))
                with readable(path, place):
                    check_tree(path, os.readlink(anchor), names, policy)
            yield place
    except FileNotFoundError:
        raise TmError("the source %s does not exist; %s" % (path, NEEDED)) from None


def take(directory: str, shown: str = "") -> Survey:
    """Look at everything below a directory, following no links.

    Args:
        directory: path of it.
        shown: the path for messages, if not that.

    Raises:
        TmError: it is missing or no directory, or part of it is not readable.
    """
    shown = shown or directory
    _need_directory(directory, shown)
    digest = hashlib.sha256()
    entries = size = 0
    with readable(shown, directory):
        for name, path in _walk(directory, shown):
            state = os.lstat(path)
            # What makes the file system names no path.
            if stat.S_ISREG(state.st_mode) and not os.access(path, os.R_OK):
                raise unreadable(os.path.join(shown, name))
            digest.update(_describe(name, path, state))
            entries, size = entries + 1, size + _needed(state)
    return Survey(entries, size, digest.hexdigest())


def _need_directory(directory: str, shown: str) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), readable(shown, directory):
        if stat.S_ISDIR(os.stat(directory).st_mode):
            return
    kind = "is not a directory" if os.path.lexists(shown) else "does not exist"
    raise TmError("the source %s %s; %s" % (shown, kind, NEEDED))


def identity(survey: Survey, destination: str, filesystem: str) -> str:
    """Return the UUID of the file system made of a directory for a destination."""
    text = "one.tm %s %s %s" % (survey.digest, filesystem, checked(destination, "destination"))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, ascii(text)))


def _walk(directory: str, shown: str) -> Iterator[Tuple[str, str]]:
    """Yield name below the directory and path of all entries, in one order everywhere."""
    yield ".", directory
    for parent, directories, others in walk(directory, strict=True):
        directories.sort()
        for name in sorted(directories + others):
            path = os.path.join(parent, name)
            below = os.path.relpath(path, directory)
            check_depth(shown, below)
            yield below, path


def _describe(name: str, path: str, state: os.stat_result) -> bytes:
    is_directory = stat.S_ISDIR(state.st_mode)
    facts = (
        ascii(name),
        state.st_mode,
        state.st_uid,
        state.st_gid,
        0 if is_directory else state.st_size,
        0 if is_directory else state.st_mtime_ns,
        ascii(os.readlink(path)) if stat.S_ISLNK(state.st_mode) else "",
    )
    return ("%s\n" % (facts,)).encode("ascii")


def _needed(state: os.stat_result) -> int:
    """Return the bytes of an entry's blocks in the image, holes left out."""
    if stat.S_ISDIR(state.st_mode):
        return _in_blocks(max(state.st_size, 1))
    if stat.S_ISLNK(state.st_mode):
        return _in_blocks(state.st_size) if state.st_size >= INLINE_LINK else 0
    if stat.S_ISREG(state.st_mode):
        return min(_in_blocks(state.st_size), _in_blocks(max(state.st_blocks * 512, 1)))
    return 0


def _in_blocks(size: int) -> int:
    return -(-size // FS_BLOCK) * FS_BLOCK
