"""A limit of bandwidth that all our programs of one user on one host keep together.

The state is one number in a small file: the moment when the bytes that were promised so far are
through (virtual scheduling, ITU-T I.371, annex A). Whoever wants to move bytes books them there
under a lock, and waits until its own are due. A program that is killed leaves nothing behind but
the time that its last booking takes.
"""

import contextlib
import fcntl
import os
import time
from typing import Callable, Sequence

from ansible_collections.one.tm.plugins.module_utils import private
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.sizes import MIB

__metaclass__ = type

BOOT_ID = "/proc/sys/kernel/random/boot_id"
RECORD_BYTES = 128
# Time unused that may be made up for: the pause of a busy scheduler, and no more.
SLACK_NS = 50 * 1000 * 1000
NANO = 1000 * 1000 * 1000


class Pacer:
    """Lets bytes through at a rate. Without a limit it does nothing."""

    def __init__(
        self,
        mib_per_second: float,
        places: Sequence[str] = private.PLACES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare to join those on this host who keep a limit.

        Args:
            mib_per_second: the limit; 0 for none.
            places: directories for the common file; the first that serves is taken.
            sleep: waits for seconds.
        """
        self._rate = mib_per_second * MIB
        self._places = places
        self._sleep = sleep
        self._file = -1
        self._boot = b""

    def take(self, size: int) -> None:
        """Wait until so many bytes may move.

        Args:
            size: in bytes.

        Raises:
            TmError: there is no place for the common file.
        """
        if not self._rate or not size:
            return
        if self._file < 0:
            self._file, self._boot = _open_common_file(self._places), _boot_id()
        wait = self._book(int(size * NANO / self._rate))
        if wait > 0:
            self._sleep(wait / NANO)

    def _book(self, duration: int) -> int:
        """Book time behind all others, in ns; return how long it is until it is over."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            now = int(time.monotonic() * NANO)
            end = max(self._promised(), now - SLACK_NS) + duration
            os.pwrite(self._file, b"%s %020d\n" % (self._boot, end), 0)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return end - now

    def _promised(self) -> int:
        """Return when all that was booked is over; 0 if that is from before the last boot."""
        boot, _blank, end = os.pread(self._file, RECORD_BYTES, 0).rstrip(b"\n").partition(b" ")
        return int(end) if boot == self._boot and end.isdigit() else 0


def _boot_id() -> bytes:
    """Return what tells this boot from others: monotonic time begins anew with each."""
    try:
        with open(BOOT_ID, "rb") as file:
            return file.read().strip()
    except OSError:
        return b"-"


def _open_common_file(places: Sequence[str]) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    for place in places:
        with contextlib.suppress(OSError), private.directory([place]) as directory:
            return os.open("pace", flags, 0o600, dir_fd=directory)
    raise TmError(
        "a limit of bandwidth needs a private directory %s in %s; remove what is in its way"
        % (private.name(), " or ".join(places))
    )
