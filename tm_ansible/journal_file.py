"""The file of a journal: ``<directory>/.<name>.<token>.journal``.

A line ``+7`` says that VM 7 is owed one answer more, ``-7`` one less, and ``@<token>`` that what
the journal of that token owes is owed by this one instead. Any other line is skipped.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections import Counter
from pathlib import Path

_LINE = re.compile(rb"([+-])(\d{1,18})")
_TAKEN = re.compile(rb"@(.+)")


def fresh(path: Path) -> Path:
    """Name the file that is to take a journal's place."""
    return path.with_suffix(".new")


def token(path: Path) -> str:
    """Give the token of the driver whose journal has that path."""
    return path.name[1 : -len(".journal")]


def close(file: int) -> None:
    """Close a file; that it was not written as it should is told by nobody later than here."""
    with contextlib.suppress(OSError):
        os.close(file)


def create(path: Path) -> int:
    """Make a file and lock it; give its descriptor."""
    flags = os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        close(file)
        remove(path)
        raise
    return file


def write(file: int, text: bytes) -> None:
    """Write all or nothing that counts: a full disk may take a part."""
    if os.write(file, text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def remove(path: Path) -> None:
    """Remove a file if that can be done: what a journal is kept for never fails for it."""
    with contextlib.suppress(OSError):
        path.unlink()


def lock(path: Path, *, wait: bool) -> int | None:
    """Open and lock a journal; None if its driver lives or it is gone."""
    while True:
        try:
            # NFS locks only what is open for writing.
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except OSError:
            close(file)
            return None
        close(file)  # written anew, or removed, while we waited


def read(file: int) -> tuple[int, ...]:
    """Give the VM of each answer that is owed."""
    with open(file, "rb", closefd=False) as stream:
        matches = [_LINE.fullmatch(line) for line in stream.read().splitlines()]
    owed: Counter[int] = Counter()
    for match in matches:
        if match:
            owed[int(match[2])] += 1 if match[1] == b"+" else -1
    return tuple((+owed).elements())


def taken_by(path: Path) -> set[str]:
    """Give the tokens of journals that the one at a path has taken over."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return set()
    return {
        match[1].decode("utf-8", "replace") for line in lines if (match := _TAKEN.fullmatch(line))
    }
