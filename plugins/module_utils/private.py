"""A directory of this host in memory, of one user alone, for what all programs of ours share."""

import contextlib
import errno
import os
import stat
from typing import Iterator, Sequence

__metaclass__ = type

# Not the TMPDIR of a run, which others do not see.
PLACES = ("/dev/shm", "/var/tmp", "/tmp")  # noqa: S108 - see _open


def name() -> str:
    """Return the name that the directory has in any of the places."""
    return "one.tm-%d" % os.geteuid()


@contextlib.contextmanager
def directory(places: Sequence[str] = PLACES) -> Iterator[int]:
    """Give the descriptor of the directory, which is made if need be.

    Args:
        places: where it may be; the first that serves is taken.

    Raises:
        OSError: it cannot be made anywhere, or is somebody else's.
    """
    descriptor = _first(places)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _first(places: Sequence[str]) -> int:
    for place in places:
        with contextlib.suppress(OSError):
            return _open(os.path.join(place, name()))
    raise FileNotFoundError(errno.ENOENT, "no place for a directory of ours", " or ".join(places))


def _open(path: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    state = os.fstat(descriptor)
    if state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "not ours alone", path)
    return descriptor
