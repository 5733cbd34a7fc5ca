"""Files that an image builds on, each checked before anybody opens what it names itself."""

import contextlib
import os
import stat
from typing import Any, Dict, Iterator, NamedTuple, Sequence

from ansible_collections.one.tm.plugins.module_utils import headers, paths, qemu, sources
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, cause
from ansible_collections.one.tm.plugins.module_utils.policy import Policy

__metaclass__ = type

DEPTH = 16
FLATTEN = "flatten it (qemu-img convert -O qcow2)"


class Rules(NamedTuple):
    """What an image may be and name.

    Attributes:
        declared: ``probe``; ``raw``: bytes that nobody looks into; ``qcow2``: nothing else.
        source_dirs: directories below which every backing file has to lie, on its real path; the
            image's own directory where there are none: others hold other VMs' disks.
        alone: whether it may have no backing file at all.
        policy: what the site allows to be read; a backing file is read as well.
    """

    declared: str
    source_dirs: Sequence[str] = ()
    alone: bool = False
    policy: Policy = Policy(())


class Backing(NamedTuple):
    """A file that an image builds on.

    Attributes:
        path: absolute, as the header above it names it.
        size: in bytes.
        mtime: in whole seconds.
    """

    path: str
    size: int
    mtime: int


def examine(path: str, descriptor: int) -> headers.Header:
    """Read a header and have qemu-img confirm it; a file without signature needs no qemu-img.

    Args:
        path: of the image.
        descriptor: of the image, open for reading.

    Raises:
        TmError: it is refused.
    """
    header = headers.read(descriptor)
    if header.backing:
        backing_path(path, header.backing)
    if header.format != headers.RAW:
        _compare(header, qemu.info(descriptor, header.format))
    return header


def _compare(header: headers.Header, seen: Dict[str, Any]) -> None:
    """Refuse an image in which qemu-img sees other files than its header names."""
    more = seen.get("format-specific", {}).get("data", {})
    names = (seen.get("format"), seen.get("backing-filename", ""), more.get("data-file"))
    if names != (header.format, header.backing, None):
        raise TmError("qemu-img sees other files in it than its header names")


def backing_path(path: str, name: str) -> str:
    """Return the path that QEMU makes of a backing file's name (its block.c, path_combine).

    Raises:
        TmError: the name is none of a file, but a protocol, a JSON object or an odd one.
    """
    if ":" in name.partition("/")[0]:
        raise TmError("its backing file %s is no plain path; %s" % (ascii(name), FLATTEN))
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise TmError("its backing file %s has control characters" % ascii(name))
    return os.path.join(os.path.dirname(path), name)


def chain(path: str, header: headers.Header, rules: Rules) -> Iterator[Backing]:
    """Yield what an image builds on, checked, each before anybody opens what it names itself.

    Args:
        path: of the image.
        header: of the image.
        rules: what it may name.

    Raises:
        TmError: one of the files is refused.
    """
    image = path
    for _depth in range(DEPTH + 1):
        if not header.backing:
            return
        path = backing_path(path, header.backing)
        with _opened(path, rules, image) as descriptor:
            state = os.fstat(descriptor)
            header = _examine_backing(path, descriptor, header.backing_format)
        yield Backing(path, state.st_size, int(state.st_mtime))
    raise TmError("its backing files are more than %d, or a loop; %s" % (DEPTH, FLATTEN))


def _examine_backing(path: str, descriptor: int, declared: str) -> headers.Header:
    """Read the header of a backing file; one that is declared raw is not looked into by QEMU."""
    if declared == headers.RAW:
        return headers.Header(headers.RAW)
    try:
        header = examine(path, descriptor)
    except TmError as error:
        raise TmError("its backing file %s: %s" % (path, error.message)) from error
    if declared not in ("", header.format):
        raise TmError(
            "its backing file %s is %s, but declared as %s" % (path, header.format, ascii(declared))
        )
    return header


@contextlib.contextmanager
def _opened(path: str, rules: Rules, image: str) -> Iterator[int]:
    """Give the descriptor of a backing file that lies where it may."""
    real = os.path.realpath(path)
    own = os.path.dirname(os.path.realpath(image))
    directories = list(rules.source_dirs) or [own]
    if not paths.below(real, directories):
        raise TmError(
            "its backing file %s is not below %s; see the setting source_dirs"
            % (paths.with_real(path, real), " or ".join(directories))
        )
    fault = sources.fault(real, rules.policy)
    if fault:
        raise TmError("its backing file %s: %s" % (paths.with_real(path, real), fault))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(real, flags)
    except OSError as error:
        raise TmError(
            "%s or bring its backing file %s, which cannot be read: %s"
            % (FLATTEN, path, cause(error))
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TmError("its backing file %s is no file" % path)
        yield descriptor
    finally:
        os.close(descriptor)


def check_same(there: Backing, rules: Rules, image: str) -> None:
    """Check that a file of another host is here as well.

    Args:
        there: the file, over there.
        rules: of this host.
        image: path of what builds on it.

    Raises:
        TmError: it is missing, another, or may not be used here.
    """
    with _opened(there.path, rules, image) as descriptor:
        state = os.fstat(descriptor)
    if (state.st_size, int(state.st_mtime)) != (there.size, there.mtime):
        raise TmError(
            "%s or bring its backing file %s with its time (rsync -t): it has another size or time"
            % (FLATTEN, there.path)
        )
