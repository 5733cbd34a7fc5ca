"""Remembers for some minutes that one host cannot reach another, so that not each copy tries anew.

A note is a file of the user who copies, on this machine; all runs share it. Only a copy that may
also go another way asks for it.
"""

import contextlib
import hashlib
import json
import os
import time
from typing import Any, Optional, Sequence

from ansible_collections.one.tm.plugins.module_utils import private

__metaclass__ = type

PREFIX = "closed-"
KEPT_SECONDS = 300
REASON_BYTES = 4096


class Closed:
    """What is known of one way."""

    def __init__(self, way: Sequence[Any], places: Sequence[str] = private.PLACES) -> None:
        """Take what makes the way what it is: how both hosts are reached, and by whom.

        Args:
            way: anything that JSON can say.
            places: directories for notes; the first that serves is taken.
        """
        text = json.dumps(way, sort_keys=True, default=os.fsdecode)
        self._name = PREFIX + hashlib.sha256(text.encode("utf-8")).hexdigest()
        self._places = places

    def reason(self) -> Optional[str]:
        """Return why it could not be gone a short time ago, and when; None if nobody knows."""
        with contextlib.suppress(OSError, ValueError):
            with private.directory(self._places) as directory:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(self._name, flags, dir_fd=directory)
            with os.fdopen(descriptor, "rb") as file:
                age = time.time() - os.fstat(descriptor).st_mtime
                if 0 <= age < KEPT_SECONDS:
                    reason = file.read(REASON_BYTES).decode("utf-8", "replace")
                    return "%s (tried %d s ago)" % (reason, age)
        return None

    def note(self, reason: str) -> None:
        """Note that it cannot be gone; where that is impossible, the next copy tries again."""
        with contextlib.suppress(OSError), private.directory(self._places) as directory:
            _sweep(directory)
            new = "%s.%d" % (self._name, os.getpid())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(new, flags, 0o600, dir_fd=directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(reason.encode("utf-8", "replace")[:REASON_BYTES])
            os.rename(new, self._name, src_dir_fd=directory, dst_dir_fd=directory)


def _sweep(directory: int) -> None:
    """Remove notes that nobody heeds any more."""
    oldest = time.time() - KEPT_SECONDS
    for name in os.listdir(directory):
        if name.startswith(PREFIX):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime < oldest:
                    os.unlink(name, dir_fd=directory)
