"""Finds and ends the processes of a run by the marker in their environment.

Ansible's workers and what they start leave the process group and session of the run, and parents
die before children. What stays is the environment a process was started with: ``proc(5)``,
``/proc/<pid>/environ``.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

VARIABLE = "TM_ANSIBLE_RUN"

# Time between two looks, in seconds; each reads the environment of every process.
_PAUSE = 0.02


def find(marker: str) -> list[int]:
    """List the processes of a run, without the calling process.

    Processes whose environment may not be read are somebody else's; zombies have none.

    Args:
        marker: value of TM_ANSIBLE_RUN; when it ends in ``.``, the beginning of the value.

    Returns:
        Their process ids.
    """
    own = os.getpid()
    pids = (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())
    return [pid for pid in pids if pid != own and _belongs(pid, marker)]


def end(marker: str, patience_seconds: float = 3.0) -> list[int]:
    """End the processes of a run: SIGTERM first, SIGKILL to what is left in half the time.

    Args:
        marker: as for ``find``.
        patience_seconds: longest time until the proof, in seconds.

    Returns:
        Processes that are still there: none, unless the kernel holds one.
    """
    start = time.monotonic()
    told: set[int] = set()
    while left := find(marker):
        waited = time.monotonic() - start
        if waited > patience_seconds:
            break
        if waited > patience_seconds / 2:
            _send(signal.SIGKILL, set(left), marker)
        else:
            _send(signal.SIGTERM, set(left) - told, marker)
            told.update(left)
        time.sleep(_PAUSE)
    return left


def _belongs(pid: int, marker: str) -> bool:
    try:
        environment = b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        return False
    closing = "" if marker.endswith(".") else "\0"
    return f"\0{VARIABLE}={marker}{closing}".encode() in environment


def _send(number: signal.Signals, pids: set[int], marker: str) -> None:
    """Signal processes by descriptor, so that a number given anew is not mistaken for them."""
    for pid in pids:
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                if _belongs(pid, marker):
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
