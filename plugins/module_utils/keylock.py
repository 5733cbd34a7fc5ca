"""A lock by a file of its own, which can be removed while others want it."""

import contextlib
import errno
import fcntl
import os

from ansible_collections.one.tm.plugins.module_utils.temporary import is_at

__metaclass__ = type

BUSY = (errno.EWOULDBLOCK, errno.EACCES)


class KeyLock:
    """Shared by readers, or held by one process alone; it goes with the process."""

    def __init__(self, path: str) -> None:
        """Take the path of the lock's file; its directory exists and is ours."""
        self._path = path
        self._descriptor = -1

    def take(self, alone: bool) -> bool:
        """Take the lock if it is free now; return whether it was.

        Args:
            alone: nobody else then has it.

        Raises:
            OSError: the file system has no locks.
        """
        descriptor = self._open()
        try:
            how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            # Whoever held it may have removed it: then this is the lock of nothing.
            if is_at(self._path, descriptor):
                self._descriptor, descriptor = descriptor, -1
        except OSError as error:
            if error.errno not in BUSY:
                raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return self._descriptor >= 0

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def share(self) -> None:
        """Let readers in beside this one, which held it alone."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def remove(self) -> None:
        """Remove the lock's file; only for who holds it alone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
