"""Which sources may be read: those in the image repositories, or outside of the system's own.

What is read is what was judged: a source is opened without being touched (O_PATH), judged by the
path that the kernel then tells of it, and only after that opened for reading through the same
descriptor. A link that changes meanwhile leads nowhere else.
"""

import contextlib
import os
import stat
from typing import Iterable, Iterator, Tuple

from ansible_collections.one.tm.plugins.module_utils import paths, temporary
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.policy import (
    KEY_FILE,
    KEYS,
    Policy,
    another_vm,
    is_within,
)

__metaclass__ = type

SYSTEM = ("/etc", "/root", "/proc", "/sys", "/dev")
SETTING = "see the setting source_dirs"


@contextlib.contextmanager
def seen(path: str, policy: Policy) -> Iterator[str]:
    """Give a path, for the block, that leads to a source and to nothing else.

    Args:
        path: absolute path as it came from outside; nothing has to be there.
        policy: what the site allows.

    Raises:
        TmError: the source is refused; the message names the rule and the setting.
        OSError: the source is not there, or cannot be reached.
    """
    with judged(path, policy) as (anchor, _real):
        yield anchor


@contextlib.contextmanager
def judged(path: str, policy: Policy) -> Iterator[Tuple[str, str]]:
    """Give what ``seen`` gives, and the path by which the source was judged: one without links."""
    path = paths.checked(path, "source")
    with readable(path):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        anchor = "/proc/self/fd/%d" % descriptor
        is_disk = stat.S_ISBLK(os.fstat(descriptor).st_mode)
        real = os.readlink(anchor)
        check(path, real, policy, is_disk)
        _check_there(path, real, descriptor)
        yield anchor, real
    finally:
        os.close(descriptor)


def _check_there(path: str, real: str, descriptor: int) -> None:
    """Refuse what is open and not under the path that was judged.

    So are, below /proc, other processes' deleted files, their memory, and their mounts.
    """
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(real), os.fstat(descriptor)):
            return
    raise TmError(
        "refused the source %s: it is not, or no longer, a file with a path of its own; "
        "name one that is" % paths.with_real(path, real)
    )


@contextlib.contextmanager
def readable(path: str, at: str = "") -> Iterator[None]:
    """Say of a source that the user of this process may not read what would help.

    Args:
        path: of the source.
        at: path by which it is opened, if not that.

    Raises:
        TmError: it, or what lies in it, is not readable.
    """
    try:
        yield
    except PermissionError as error:
        name = os.fsdecode(error.filename) if error.filename else path
        name = path + name[len(at) :] if at and name.startswith(at) else name
        raise unreadable(name) from None


def unreadable(path: str) -> TmError:
    """Return the error for a source that the user of this process may not read."""
    return TmError(
        "the source %s is not readable for user number %d; let that user read it, or become one "
        "who may (setting ansible.become)" % (path, os.geteuid())
    )


def check(path: str, real: str, policy: Policy, is_disk: bool = False) -> None:
    """Refuse a source that may not be read.

    Args:
        path: as it is named.
        real: where it really is.
        policy: what the site allows.
        is_disk: whether it is a block device.

    Raises:
        TmError: it is refused; the message names the rule and the setting.
    """
    reason = fault(real, policy, is_disk)
    if reason:
        raise TmError("refused the source %s: %s" % (paths.with_real(path, real), reason))


def check_tree(path: str, real: str, names: Iterable[str], policy: Policy) -> None:
    """Refuse a directory of files in which something lies that may not be read.

    Args:
        path: as it is named.
        real: where it really is.
        names: paths of what is in it, relative to it.
        policy: what the site allows.

    Raises:
        TmError: it is refused; the message names the rule and the setting.
    """
    places = [*paths.roots(policy.own_paths), *(() if policy.source_dirs else SYSTEM)]
    inside = [place for place in places if place.startswith(real.rstrip("/") + "/")]
    if inside:
        raise TmError("refused the source %s: %s is in it; %s" % (path, inside[0], SETTING))
    # There may be a million names, and to find a repository takes the file system.
    repositories = paths.roots(policy.source_dirs)
    for name in names:
        whole = paths.tidy(os.path.join(real, name))
        reason = _kept_from_all(whole[len(_around(whole, repositories)) :])
        if not policy.source_dirs:
            reason = reason or _reason_unnamed(whole, policy, False)
        if reason:
            raise TmError("refused the source %s: %s is in it: %s" % (path, whole, reason))


def fault(real: str, policy: Policy, is_disk: bool = False) -> str:
    """Return why something may not be read: the rule and the setting; nothing if it may.

    Args:
        real: where it really is.
        policy: what the site allows.
        is_disk: whether it is a block device.
    """
    # What was named by itself, or lies deeper in a place of the driver's, is meant.
    root = _around(real, paths.roots(policy.source_dirs))
    if policy.source_dirs and not root:
        return "it is not below a source directory (%s); %s" % (
            ", ".join(policy.source_dirs),
            SETTING,
        )
    for own in paths.roots(policy.own_paths):
        if is_within(real, own) and not is_within(root, own):
            return "the transfer driver keeps %s for itself; %s" % (own, SETTING)
    reason = _kept_from_all(real[len(root) :])
    return reason if reason or root else _reason_unnamed(real, policy, is_disk)


def _around(real: str, repositories: Iterable[str]) -> str:
    """Return the innermost repository that something is in; nothing if it is in none."""
    return max((root for root in repositories if is_within(real, root)), key=len, default="")


def _kept_from_all(path: str) -> str:
    """Judge the names on the way to a source, below the repository if there is one."""
    for part in path.split("/"):
        if part in KEYS:
            return "keys are kept in %s; %s" % (part, SETTING)
        # Images that are being replaced lie under such a name, whosever they are.
        if temporary.NAME.match(part):
            return "%s is a temporary name of the transfer driver's; %s" % (part, SETTING)
    return ""


def _reason_unnamed(real: str, policy: Policy, is_disk: bool) -> str:
    """Judge a source of a site that names no image repositories."""
    for place in SYSTEM:
        if is_within(real, place) and not (is_disk and place == "/dev"):
            return "%s is the system's; %s" % (place, SETTING)
    if KEY_FILE.match(os.path.basename(real)):
        return "it is named like a key, or a file of OpenNebula's own; %s" % SETTING
    # A directory may hold a million names, and to find the VM takes the file system.
    other = another_vm(real, policy) if "images" in real.split("/") else ""
    if other and "/%s/images/" % other in real + "/":
        return "it is a disk of VM %s; %s" % (other, SETTING)
    return ""
