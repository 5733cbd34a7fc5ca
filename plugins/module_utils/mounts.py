"""Mount points, as the kernel lists them."""

import re
from typing import List

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

MOUNTINFO = "/proc/self/mountinfo"


def refuse_mounts(path: str) -> None:
    """Refuse to remove or move what something is mounted on or below.

    Args:
        path: real path of a file or directory.

    Raises:
        TmError: there is a mount point.
    """
    for mount in mount_points():
        if mount == path or mount.startswith(path + "/"):
            raise TmError(
                "refused %s: %s is a mount point, and none is removed or moved, whatever the "
                "settings; unmount it first" % (path, mount)
            )


def mount_points() -> List[str]:
    """Return the paths of all mounts (proc(5), /proc/pid/mountinfo, field 5)."""
    try:
        with open(MOUNTINFO, encoding="utf-8", errors="surrogateescape") as stream:
            return [_plain(line.split(" ")[4]) for line in stream]
    except FileNotFoundError:
        return []


def _plain(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), field)
