"""The error of this collection, and operating system errors in words."""

import contextlib
import errno
import os
from typing import Iterator, Sequence

CAUSES = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted for this user",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "no space left on the file system",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the device reports an error; see the kernel's log",
    errno.ELOOP: "a symbolic link stands in the way",
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.ENAMETOOLONG: "longer than a path, or a name in it, may be; shorten it",
    errno.EFBIG: "the file system does not allow files of this size",
    errno.ESTALE: "the network file system has lost the file; mount it again",
    errno.EBUSY: "in use",
}


class TmError(Exception):
    """Something that cannot be done, said in one line for the VM's owner.

    Attributes:
        message: names the thing and the remedy.
        detail: further lines for the error block.
    """

    def __init__(self, message: str, detail: Sequence[str] = ()) -> None:
        """Keep the sentence and its evidence."""
        super().__init__(message)
        self.message = message
        self.detail = list(detail)


def cause(error: OSError) -> str:
    """Return why a system call failed, in words.

    Args:
        error: as it was raised.
    """
    text = os.strerror(error.errno).lower() if error.errno else str(error)
    return CAUSES.get(error.errno or 0, text)


def sentence(error: OSError) -> str:
    """Return an operating system error as one sentence that names the path and the cause."""
    path = error.filename2 or error.filename
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    text = cause(error) if path is None else "%s: %s" % (path, cause(error))
    if error.errno == errno.ENOSPC and path:
        text += free_space(str(path))
    return text


def free_space(path: str) -> str:
    """Return how much room there is, as the end of a sentence; nothing if that is not known."""
    directory = path if os.path.isdir(path) else os.path.dirname(path)
    try:
        state = os.statvfs(directory)
    except OSError:
        return ""
    return " (%d bytes and %d inodes free in %s)" % (
        state.f_bavail * state.f_frsize,
        state.f_favail,
        directory,
    )


@contextlib.contextmanager
def about(path: str) -> Iterator[None]:
    """Let operating system errors of calls on a descriptor name the file.

    Args:
        path: the file that the descriptor stands for.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or isinstance(error.filename, int):
            error.filename = path
        raise
