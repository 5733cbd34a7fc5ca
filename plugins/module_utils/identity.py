"""What a host says of itself, so that two names of one host are known as such."""

import os
from typing import Any, Dict

__metaclass__ = type

BOOT = "/proc/sys/kernel/random/boot_id"
MOUNTS = "/proc/self/ns/mnt"
MACHINE = "/etc/machine-id"


def host() -> Dict[str, str]:
    """Return what tells this host, and its view of the file systems, from any other.

    ``boot`` is random for each boot of a kernel (random(4)), ``mounts`` is the mount namespace
    within that kernel (namespaces(7)) and the root directory in it, which chroot(2) changes,
    ``machine`` is machine-id(5). What cannot be read is empty.
    """
    return {"boot": _read(BOOT), "mounts": _namespace(), "machine": _read(MACHINE)}


def run(_params: Dict[str, Any], _check_mode: bool) -> Dict[str, str]:
    """Tell the controller what this host says of itself."""
    return host()


def is_here(other: Dict[str, str]) -> bool:
    """Tell whether what another process says is certainly of this host and its view of files."""
    here = host()
    return bool(here["boot"] and here["mounts"]) and here == other


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(128).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _namespace() -> str:
    try:
        root = os.stat("/")
        return "%s %d:%d" % (os.readlink(MOUNTS), root.st_dev, root.st_ino)
    except OSError:
        return ""
