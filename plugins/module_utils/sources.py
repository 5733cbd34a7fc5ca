"""Which sources may be read: those in the image repositories, or outside of the system's own.

What is read is what was judged: a source is opened without being touched (O_PATH), judged by the
path that the kernel then tells of it, and only after that opened for reading through the same
descriptor. A link that changes meanwhile leads nowhere else.
"""

import contextlib
import os
import re
import stat
from typing import Iterable, Iterator

from ansible_collections.one.tm.plugins.module_utils import paths
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.policy import (
    Policy,
    another_vm,
    is_within,
)

__metaclass__ = type

SYSTEM = ("/etc", "/root", "/proc", "/sys", "/dev")
KEYS = (".ssh", ".gnupg", ".one")
KEY_FILE = re.compile(
    r"(ssh_host_\w+_key|id_(rsa|dsa|ecdsa|ed25519)\w*|one_auth|\.netrc|\.vault_pass\w*"
    r"|.*\.(pem|key|p12|pfx)|\..+\.journal|one\.db(-\w+)?)\Z",
    re.IGNORECASE,
)
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
    descriptor = os.open(paths.checked(path, "source"), os.O_PATH | os.O_CLOEXEC)
    try:
        anchor = "/proc/self/fd/%d" % descriptor
        is_disk = stat.S_ISBLK(os.fstat(descriptor).st_mode)
        check(path, os.readlink(anchor), policy, is_disk)
        yield anchor
    finally:
        os.close(descriptor)


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
    reason = _reason(real, policy, is_disk)
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
    if not policy.source_dirs:
        inside += [name for name in names if os.path.basename(name) in KEYS]
    if inside:
        raise TmError("refused the source %s: %s is in it; %s" % (path, inside[0], SETTING))


def _reason(real: str, policy: Policy, is_disk: bool) -> str:
    named = [root for root in paths.roots(policy.source_dirs) if is_within(real, root)]
    if policy.source_dirs and not named:
        return "it is not below a source directory (%s); %s" % (
            ", ".join(policy.source_dirs),
            SETTING,
        )
    # What was named by itself, or lies deeper in a place of the driver's, is meant.
    root = max(named, key=len) if named else ""
    for own in paths.roots(policy.own_paths):
        if is_within(real, own) and not is_within(root, own):
            return "the transfer driver keeps %s for itself; %s" % (own, SETTING)
    parts = real[len(root) :].split("/")
    keys = [part for part in parts if part in KEYS]
    if keys:
        return "keys are kept in %s; %s" % (keys[0], SETTING)
    return "" if named else _reason_unnamed(real, policy, is_disk)


def _reason_unnamed(real: str, policy: Policy, is_disk: bool) -> str:
    """Judge a source of a site that names no image repositories."""
    for place in SYSTEM:
        if is_within(real, place) and not (is_disk and place == "/dev"):
            return "%s is the system's; %s" % (place, SETTING)
    if KEY_FILE.match(os.path.basename(real)):
        return "it is named like a key, or a file of OpenNebula's own; %s" % SETTING
    other = another_vm(real, policy)
    if other and "/%s/images" % other in real:
        return "it is a disk of VM %s; %s" % (other, SETTING)
    return ""
