"""Which paths an action may touch. Everything is judged by the real path, on the host that has it.

Some rules stand whatever a site sets: nothing is done to an allowed directory itself or above one,
to what is another VM's or the driver's, nor taken away through a link. Their refusals say so; those
of all others name the settings that widen them.
"""

import os
import re
from typing import Any, Iterable, List, Mapping, NamedTuple, Sequence

from ansible_collections.one.tm.plugins.module_utils import mounts, paths
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

NUMBER = re.compile(r"[0-9]+\Z")
# Directories of keys, and what is named like a key or like a file of OpenNebula's own.
KEYS = (".ssh", ".gnupg", ".one")
KEY_FILE = re.compile(
    r"(ssh_host_\w+_key|id_(rsa|dsa|ecdsa|ed25519)\w*|one_auth|\.netrc|\.vault_pass\w*"
    r"|.*\.(pem|key|p12|pfx)|\..+\.journal|one\.db(-\w+)?)\Z",
    re.IGNORECASE,
)

NO_KEYS = (
    "MV saves nothing into source_dirs that is named like a key, or as keys' directories; "
    "no setting allows that, name another"
)

_PATHS = {"type": "list", "elements": "str"}
# What modules and actions that write, move or remove take, as AnsibleModule's arguments.
ARGUMENTS = {
    "allowed_dirs": dict(_PATHS, required=True),
    "more_dirs": dict(_PATHS, default=[]),
    "own_paths": dict(_PATHS, default=[]),
    "vm_id": {"type": "int", "default": -1},
}


class Policy(NamedTuple):
    """What a site allows.

    Attributes:
        allowed_dirs: directories in which VMs have theirs: ``<directory>/<VM>``.
        more_dirs: where this verb may act as well.
        source_dirs: the image repositories; none where the site names none.
        own_paths: what the driver keeps for itself.
        vm_id: number of the VM that the action is for; negative if nobody says.
    """

    allowed_dirs: Sequence[str]
    more_dirs: Sequence[str] = ()
    source_dirs: Sequence[str] = ()
    own_paths: Sequence[str] = ()
    vm_id: int = -1


def policy_of(params: Mapping[str, Any]) -> Policy:
    """Return the policy among a step's parameters, see ``ARGUMENTS``."""
    vm_id = params.get("vm_id")
    return Policy(
        tuple(params.get("allowed_dirs") or ()),
        tuple(params.get("more_dirs") or ()),
        tuple(params.get("source_dirs") or ()),
        tuple(params.get("own_paths") or ()),
        -1 if vm_id is None else int(vm_id),
    )


def check_destination(path: str, policy: Policy, repositories: bool = False) -> str:
    """Return the real path of what may be written: directories' links followed, its own not.

    Args:
        path: absolute path as it came from outside.
        policy: what the site allows.
        repositories: whether an image may go to an image repository as well, as a saved one does.

    Raises:
        TmError: it is refused; the message names the rule and the setting.
    """
    more = policy.source_dirs if repositories else ()
    return _check(path, policy, "destination", more)


def check_unused(real: str, policy: Policy) -> None:
    """Refuse to replace something in an image repository: it may be in use by any VM.

    Args:
        real: what ``check_destination`` returned.
        policy: what the site allows.

    Raises:
        TmError: it is there, and only ``source_dirs`` allows its place.
    """
    if os.path.lexists(real) and _outside(real, policy, ()):
        reason = "it exists, and MV replaces nothing in source_dirs; delete it, or name another"
        raise _refused("destination", real, reason)


def check_saved(real: str, names: Iterable[str], policy: Policy) -> None:
    """Refuse to move a directory with keys in it into an image repository.

    Args:
        real: what ``check_destination`` returned.
        names: paths of what is in the directory, relative to it; asked for only where it matters.
        policy: what the site allows.

    Raises:
        TmError: something is named like a key, and only ``source_dirs`` allows the place.
    """
    if _outside(real, policy, ()):
        for name in names:
            if _names_a_key(name):
                raise _refused("destination", os.path.join(real, name), NO_KEYS)


def check_removable(path: str, policy: Policy, what: str = "path") -> str:
    """Return the real path of what may be removed or moved away.

    Args:
        path: absolute path as it came from outside.
        policy: what the site allows.
        what: its role in the action, for the message.

    Raises:
        TmError: it is refused; the message names the rule and the setting.
    """
    real = _check(path, policy, what)
    if not _is_reached_plainly(paths.tidy(path), real, policy):
        reason = (
            "a symbolic link leads there from an allowed directory, and nothing is taken away "
            "through one, whatever the settings; name %s itself" % real
        )
        raise _refused(what, paths.with_real(path, real), reason)
    mount = _mount_above(real, policy)
    if mount:
        reason = (
            "it is on what is mounted at %s, and the settings allowed_dirs and allowed_for name "
            "only what is above; unmount that first, or name it there" % mount
        )
        raise _refused(what, paths.with_real(path, real), reason)
    return real


def _mount_above(real: str, policy: Policy) -> str:
    """Return where something is mounted between a VM's own directory and a path in it.

    An allowed directory may be a mount point, and so may what lies directly in it.
    """
    around = [root for root in _all_roots(policy) if is_within(real, root)]
    nearest = max(around, key=len, default="")
    own = os.path.join(nearest, _first(real, nearest))
    mounted = mounts.mount_points()
    return next(
        (each for each in mounted if is_within(real, each) and each.startswith(own + "/")), ""
    )


def _check(path: str, policy: Policy, what: str, more: Sequence[str] = ()) -> str:
    path = paths.checked(path, what)
    real = paths.real_place(path)
    reason = (
        _over_a_root(real, policy)
        or _of_another_vm(real, policy)
        or _of_the_driver(real, policy)
        or _outside(real, policy, more)
    )
    if reason:
        raise _refused(what, paths.with_real(path, real), reason)
    return real


def _refused(what: str, shown: str, reason: str) -> TmError:
    return TmError("refused the %s %s: %s" % (what, shown, reason))


def _over_a_root(real: str, policy: Policy) -> str:
    for root in _all_roots(policy):
        if is_within(root, real):
            return (
                "it is an allowed directory (allowed_dirs, allowed_for), or above one, which no "
                "setting allows; name a path below it"
            )
    return ""


def _of_another_vm(real: str, policy: Policy) -> str:
    other = another_vm(real, policy)
    if not other:
        return ""
    return "it is VM %s's, and this is for VM %d; no setting allows that" % (other, policy.vm_id)


def another_vm(real: str, policy: Policy) -> str:
    """Return the number of the other VM that a real path belongs to; nothing if there is none."""
    if policy.vm_id < 0:
        return ""
    owners = [_first(real, root) for root in _all_roots(policy)]
    others = [name for name in owners if NUMBER.match(name) and name != str(policy.vm_id)]
    return others[0] if others else ""


def _of_the_driver(real: str, policy: Policy) -> str:
    for own in paths.roots(policy.own_paths):
        if is_within(real, own) or is_within(own, real):
            return "the transfer driver keeps %s for itself; no setting allows that" % own
    return ""


def _outside(real: str, policy: Policy, more: Sequence[str]) -> str:
    if any(_is_own(_first(real, root), policy) for root in paths.roots(policy.allowed_dirs)):
        return ""
    if paths.below(real, policy.more_dirs):
        return ""
    if paths.below(real, more):
        return _like_a_key(real, more)
    place = "below an allowed directory"
    if policy.vm_id >= 0:
        place = "in the directory of VM %d below an allowed one" % policy.vm_id
    allowed = ", ".join([*policy.allowed_dirs, *policy.more_dirs]) or "none"
    return "it is not %s (%s); see the settings allowed_dirs and allowed_for" % (place, allowed)


def _like_a_key(real: str, repositories: Sequence[str]) -> str:
    """Judge the names below a repository, into which no key may be smuggled."""
    around = [root for root in paths.roots(repositories) if is_within(real, root)]
    return NO_KEYS if _names_a_key(real[len(max(around, key=len)) :]) else ""


def _names_a_key(path: str) -> bool:
    parts = path.split("/")
    return bool(KEY_FILE.match(parts[-1])) or any(part in KEYS for part in parts)


def _is_own(first: str, policy: Policy) -> bool:
    return first == str(policy.vm_id) if policy.vm_id >= 0 else bool(first)


def _first(real: str, root: str) -> str:
    """Return the name directly below a root on the way to a path; nothing if it is not below."""
    return real[len(root) + 1 :].partition("/")[0] if real.startswith(root + "/") else ""


def _all_roots(policy: Policy) -> List[str]:
    return paths.roots([*policy.allowed_dirs, *policy.more_dirs])


def is_within(path: str, directory: str) -> bool:
    """Tell whether a path is a directory or below it; both without links."""
    return path == directory or path.startswith(directory + "/")


def _is_reached_plainly(path: str, real: str, policy: Policy) -> bool:
    """Tell whether a path follows no link below an allowed directory."""
    found = _all_roots(policy)
    place = os.path.dirname(path)
    while place != "/":
        root = os.path.realpath(place)
        if root in found and os.path.join(root, path[len(place) + 1 :]) == real:
            return True
        place = os.path.dirname(place)
    return False
