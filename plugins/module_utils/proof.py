"""The note beside a partial file: which source it is a copy of, and how far it is proven."""

import json
import os
import stat
import zlib
from typing import NamedTuple, Optional

__metaclass__ = type

# Within one sector.
NOTE_BYTES = 256

Note = NamedTuple("Note", [("source", str), ("inode", int), ("offset", int)])


def is_private(state: os.stat_result) -> bool:
    """Tell whether nobody but this user can have changed a file."""
    return state.st_uid == os.geteuid() and state.st_nlink == 1 and not state.st_mode & 0o077


def write_note(path: str, note: Note) -> None:
    """Write a note, so that a crash leaves the old one or this.

    Args:
        path: of its file.
        note: what it says.

    Raises:
        OSError: it is not on the disk.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        text = json.dumps(note).encode("ascii")
        line = b"%08x %s" % (zlib.crc32(text), text)
        os.pwrite(descriptor, line.ljust(NOTE_BYTES - 1) + b"\n", 0)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def read_note(path: str) -> Optional[Note]:
    """Read a note; None if there is none that is whole and this user's alone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or not is_private(state):
            return None
        return _parse_note(os.read(descriptor, NOTE_BYTES + 1))
    finally:
        os.close(descriptor)


def _parse_note(line: bytes) -> Optional[Note]:
    check, _space, text = line.strip().partition(b" ")
    if len(line) != NOTE_BYTES or check != b"%08x" % zlib.crc32(text):
        return None
    return Note(*json.loads(text.decode("ascii")))
