"""What a cache of images gives up: what is too old, then what was not used for longest."""

import contextlib
import os
import re
import time
from typing import Iterator, List, NamedTuple

from ansible_collections.one.tm.plugins.module_utils import keylock, leftovers

__metaclass__ = type

NOTE_BYTES = 4096
NAME = re.compile(r"([0-9a-f]{64})\.(?:img|json|lock)\Z")

Kept = NamedTuple("Kept", [("used", float), ("bytes", int), ("stem", str)])


def evict(directory: str, size: int, age: float) -> None:
    """Remove entries until the rest is within its limits; never one that is in use.

    Args:
        directory: the cache's.
        size: bytes that may stay.
        age: seconds that an entry may stay unused.

    Raises:
        OSError: the directory cannot be read.
    """
    leftovers.sweep(directory)
    lock = keylock.KeyLock(os.path.join(directory, "evict.lock"))
    if not lock.take(alone=True):
        return  # somebody else is at it
    try:
        _evict(sorted(_kept(directory)), size, time.time() - age)
    finally:
        lock.release()


def _evict(kept: List[Kept], size: int, oldest: float) -> None:
    total = sum(entry.bytes for entry in kept)
    for entry in kept:
        if entry.used < oldest or total > size:
            total -= _remove(entry)


def _kept(directory: str) -> Iterator[Kept]:
    """Yield the entries; one without a note was not finished and counts as never used."""
    stems = {match.group(1) for match in map(NAME.match, os.listdir(directory)) if match}
    for stem in stems:
        path = os.path.join(directory, stem)
        used, taken = 0.0, 0
        with contextlib.suppress(FileNotFoundError):
            taken = os.lstat(path + ".img").st_blocks * 512
            used = os.lstat(path + ".json").st_mtime
        yield Kept(used, taken, path)


def _remove(entry: Kept) -> int:
    """Remove an entry unless it is in use; return the bytes that this gave."""
    lock = keylock.KeyLock(entry.stem + ".lock")
    if not lock.take(alone=True):
        return 0
    try:
        for suffix in (".json", ".img"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.stem + suffix)
        lock.remove()
    finally:
        lock.release()
    return entry.bytes
