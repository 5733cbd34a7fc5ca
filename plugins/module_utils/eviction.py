"""What a cache of images gives up: what is too old, then what was not used for longest."""

import contextlib
import os
import re
import time
from typing import Iterator, List, NamedTuple

from ansible_collections.one.tm.plugins.module_utils import kept, keylock, leftovers

__metaclass__ = type

NAME = re.compile(r"([0-9a-f]{64})\.(?:img|sum|json|lock)\Z")

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


def _evict(found: List[Kept], size: int, oldest: float) -> None:
    total = sum(entry.bytes for entry in found)
    for entry in found:
        if entry.used < oldest or total > size:
            total -= _remove(entry)


def _kept(directory: str) -> Iterator[Kept]:
    """Yield the entries; one without a note was not finished and counts as never used."""
    stems = {match.group(1) for match in map(NAME.match, os.listdir(directory)) if match}
    for stem in stems:
        path = os.path.join(directory, stem)
        used, taken = 0.0, 0
        with contextlib.suppress(FileNotFoundError):
            taken = os.lstat(path + kept.IMAGE).st_blocks * 512
            used = os.lstat(path + kept.NOTE).st_mtime
        yield Kept(used, taken, path)


def _remove(entry: Kept) -> int:
    """Remove an entry unless it is in use; return the bytes that this gave."""
    lock = keylock.KeyLock(entry.stem + kept.LOCK)
    if not lock.take(alone=True):
        return 0
    try:
        kept.discard(entry.stem)
        lock.remove()
    finally:
        lock.release()
    return entry.bytes
