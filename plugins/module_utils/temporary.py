"""Names of ours beside a destination, and who holds what has one.

A temporary file or directory is locked by flock(2) for as long as a process makes it. What
somebody else can lock is of a run that has ended.
"""

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from typing import Optional

__metaclass__ = type

PART = "part"  # what is being made
PROVEN = "proven"  # how far a part is proven, so that the next run can go on with it
OLD = "old"  # a directory that is being replaced
GONE = "gone"  # what is being removed
DOWNLOAD = "download"  # what a site's own task file makes
HERE = "here-"  # and 32 digits: tells whether two hosts see one place
NAME = re.compile(r"\.tm-[0-9a-f]{16}\.(part|proven|old|gone|download|here-[0-9a-f]{32})\Z")
TRIES = 5
PAUSE_SECONDS = 0.02


def temporary_name(final: str, suffix: str = PART) -> str:
    """Return the name of ours beside a destination under which it is made.

    Args:
        final: the destination's path.
        suffix: what the temporary file is for; one that ``NAME`` has.
    """
    directory, name = os.path.split(final)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return os.path.join(directory, ".tm-%s.%s" % (digest, suffix))


def lock(descriptor: int) -> Optional[bool]:
    """Lock a temporary file for as long as it is open.

    A sweep holds what it looks at for a moment, so that this tries more than once.

    Returns:
        True if it is ours now, False if another process holds it, None where the file system
        has no locks for it.
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return None
    return False


def open_for_lock(path: str) -> int:
    """Open a temporary file or directory so that it can be locked; return the descriptor."""
    is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
    # A network file system locks only what is open for writing.
    flags = os.O_RDONLY if is_directory else os.O_RDWR
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def is_held(path: str) -> bool:
    """Tell whether a process makes what has this temporary name; no, where there are no locks."""
    try:
        descriptor = open_for_lock(path)
    except OSError:  # it is not there any more, or nothing that can be held
        return False
    try:
        return lock(descriptor) is False
    finally:
        os.close(descriptor)


def is_at(path: str, descriptor: int) -> bool:
    """Tell whether an open file is the one of that name.

    Who locked a file may find that somebody has replaced it since it was opened.
    """
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
