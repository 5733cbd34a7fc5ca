"""What a host has to offer to the transfer manager."""

import os
import platform
import pwd
import shutil
from typing import Any, Dict, Optional

from ansible_collections.one.tm.plugins.module_utils.programs import PLACES

__metaclass__ = type


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:  # noqa: ARG001
    """Look around; change nothing.

    Args:
        params: ``programs`` and ``directories`` to look for.
        check_mode: makes no difference.

    Returns:
        The result of module one.tm.probe.
    """
    return {
        "changed": False,
        "python": platform.python_version(),
        "user": _user_name(),
        "programs": {name: find_program(name) for name in params["programs"]},
        "directories": [probe_directory(path) for path in params["directories"]],
    }


def find_program(name: str) -> Optional[str]:
    """Return a program's path, or None."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES])
    return shutil.which(name, path=path)


def probe_directory(path: str) -> Dict[str, Any]:
    """Tell what a directory, or what there is of the way to it, allows.

    Args:
        path: an absolute path.

    Returns:
        ``path``, whether it ``exists``, the directory ``within`` which it is or will be, whether we
        may write there, and the space in MiB that is free there for us.
    """
    within = _nearest(path)
    space = os.statvfs(within)
    return {
        "path": path,
        "exists": within == path,
        "within": within,
        "writable": os.access(within, os.W_OK | os.X_OK),
        "free_mib": space.f_bavail * space.f_frsize // (1 << 20),
    }


def _nearest(path: str) -> str:
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
