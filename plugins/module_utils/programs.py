"""Run a program of the host: found where administrators' programs are, ended with us."""

import contextlib
import errno
import functools
import os
import shutil
import subprocess
from typing import Iterator, Sequence

from ansible_collections.one.tm.plugins.module_utils import lifeline
from ansible_collections.one.tm.plugins.module_utils.errors import CAUSES, TmError

PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
LAST_LINES = 20
# What the place says that is written to. Others may be of what a program reads, or of itself.
OF_THE_PLACE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EFBIG,
    errno.ESTALE,
)


def find(program: str, package: str) -> str:
    """Return the path of a program.

    An ssh session's PATH often lacks the sbin directories; they are searched too.

    Args:
        program: its name.
        package: Debian package that has it, for the message.

    Raises:
        TmError: this host does not have it.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    found = shutil.which(program, path=path)
    if not found:
        raise TmError(
            "this host has no program %s; install it (Debian, Ubuntu: package %s)"
            % (program, package)
        )
    return found


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Say of a program's failure at which file it was, if the place of that is the cause.

    Args:
        path: what it writes, as its user knows it: programs name what they were given. It reads
            no other.

    Raises:
        TmError: as ``errors.sentence`` would tell it, with the program's own words.
    """
    try:
        yield
    except TmError as error:
        words = [CAUSES[code] for code in OF_THE_PLACE if os.strerror(code) in error.message]
        if not words:
            raise
        raise TmError("%s: %s" % (path, words[0]), [error.message, *error.detail]) from error


def run(argv: Sequence[str], directory: str) -> str:
    """Run a program to its end.

    Args:
        argv: program and arguments; no shell sees them.
        directory: where it runs. Files in it are best named ``./<name>``: some programs take a
            colon or a question mark in a path for syntax.

    Returns:
        what it wrote on standard output and standard error.

    Raises:
        TmError: it failed; the reason is its last line.
    """
    start = functools.partial(
        subprocess.Popen,
        list(argv),
        cwd=directory,
        env=dict(os.environ, LC_ALL="C", LANGUAGE="C"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with lifeline.child(start) as process, process:
        # Complaints last: a program may write its other output when it exits.
        output = b"".join(process.communicate()).decode("utf-8", "replace")
    if process.returncode < 0:
        name = os.path.basename(argv[0])
        raise TmError("%s was killed by signal %d" % (name, -process.returncode))
    if process.returncode != 0:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        name = os.path.basename(argv[0])
        last = lines[-1] if lines else "no message, status %d" % process.returncode
        raise TmError("%s failed: %s" % (name, last), lines[-LAST_LINES:])
    return output
