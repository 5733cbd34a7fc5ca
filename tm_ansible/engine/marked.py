"""Finds and ends the processes of a run by the marker in their environment.

Ansible's workers and what they start leave the process group and session of the run, and parents
die before children. What stays is the environment a process was started with: ``proc(5)``,
``/proc/<pid>/environ``.
"""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

VARIABLE = "TM_ANSIBLE_RUN"
# In the environment of what is to hear of the end last: it carries messages of the others.
LAST = "TM_ANSIBLE_LAST"

_ROOM = 128

# Time between two looks, in seconds; each reads the environment of every process.
_PAUSE = 0.02
# How often to look again at a process that is just being replaced, and the pause.
_LOOKS, _LOOK_PAUSE = 1000, 0.001
# How often nothing is read of one that is not, until that is believed.
_EMPTY = 3


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
    return [pid for pid in pids if pid != own and belongs(pid, marker)]


def end(marker: str, patience_seconds: float = 3.0) -> list[int]:
    """End the processes of a run: SIGTERM first, SIGKILL to what is left in half the time.

    Those with TM_ANSIBLE_LAST in their environment get SIGTERM when no other is left: by them the
    others tell the hosts that it is over.

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
            first = {pid for pid in left if not _is_last(pid)} or set(left)
            _send(signal.SIGTERM, first - told, marker)
            told |= first
        time.sleep(_PAUSE)
    return left


def room_for(marker: str) -> str:
    """Return a value of TM_ANSIBLE_RUN for a process whose forks will ``adopt`` markers.

    Args:
        marker: of that process; short of 128 bytes.
    """
    return f"{marker}.".ljust(_ROOM, "_")


def adopt(marker: str) -> None:
    """Bear a marker from now on, in a fork of a process that was started with ``room_for``.

    The environment that others see is the memory that the program was started with
    (``proc(5)``: ``env_start`` of ``/proc/<pid>/stat``), which a fork has inherited.

    Args:
        marker: of the run.

    Raises:
        ValueError: the process has no room for it.
    """
    os.environ[VARIABLE] = marker
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    begin, end = int(fields[47]), int(fields[48])
    block = b"\0" + ctypes.string_at(begin, end - begin)
    name = f"\0{VARIABLE}=".encode()
    at = block.index(name) + len(name) - 1
    room = block.index(b"\0", at + 1) - 1 - at
    value = marker.encode()
    if len(value) > room:
        raise ValueError(f"no room for the marker {marker}")
    ctypes.memmove(begin + at, value.ljust(room, b"\0"), room)


def belongs(pid: int, marker: str) -> bool:
    """Tell whether a process has a marker.

    Args:
        pid: its number.
        marker: as for ``find``.
    """
    try:
        environment = b"\0" + _environment(pid)
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        return False
    closing = "" if marker.endswith(".") else "\0"
    return f"\0{VARIABLE}={marker}{closing}".encode() in environment


def _environment(pid: int) -> bytes:
    """Read what a process was started with.

    While execve(2) replaces it, nothing can be read, nor by a descriptor from before that.
    """
    path, empty = Path(f"/proc/{pid}/environ"), 0
    for _ in range(_LOOKS):
        if text := path.read_bytes():
            return text
        if _is_being_replaced(pid):
            time.sleep(_LOOK_PAUSE)
        elif (empty := empty + 1) == _EMPTY:
            break
    return b""


def _is_being_replaced(pid: int) -> bool:
    """Tell whether a process has a program and no words yet; zombies and the kernel's have none."""
    process = Path(f"/proc/{pid}")
    return bool((process / "exe").readlink()) and not (process / "cmdline").read_bytes()


def _is_last(pid: int) -> bool:
    try:
        return f"\0{LAST}=".encode() in _environment(pid)
    except OSError:
        return False


def _send(number: signal.Signals, pids: set[int], marker: str) -> None:
    """Signal processes by descriptor, so that a number given anew is not mistaken for them."""
    for pid in pids:
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                if belongs(pid, marker):
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
