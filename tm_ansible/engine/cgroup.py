"""Holds the processes of a run together by the kernel's means, where it lets us: cgroups v2.

A program may take the run's marker out of its environment, as ``env -i`` does. It does not leave
its group by that, nor by a session of its own (cgroups(7)). Where no group can be made, the
marker alone has to do.
"""

import contextlib
import errno
import functools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tm_ansible.engine import marked

_PREFIX = "tm_ansible."
_PROCESSES = "cgroup.procs"
_PAUSE = 0.01


class Group:
    """A group of processes: a directory of the cgroup file system."""

    def __init__(self, path: Path) -> None:
        """Take one that is there.

        Args:
            path: its directory.
        """
        self.path = path

    @classmethod
    def make(cls, marker: str) -> "Group | None":
        """Make an empty one beside this process's own; None where that is not to be had.

        Args:
            marker: of the run.
        """
        own = _own()
        if own is None:
            return None
        path = own / f"{_PREFIX}{marker}"
        try:
            path.mkdir()
        except OSError:
            return None
        return cls(path)

    def add(self, pid: int) -> None:
        """Take a process in; what it starts from now on belongs to it.

        Args:
            pid: its number; 0 for the calling process.
        """
        with contextlib.suppress(OSError):
            (self.path / _PROCESSES).write_text(str(pid))

    def end(self, lent: str = "", patience_seconds: float = 2.0) -> list[int]:
        """Kill all that is in it, and remove it.

        What other runs are to find is let go: processes of the marker ``lent``, and the masters
        of ssh connections, whose time is ControlPersist's (ssh_config(5)); and what is somebody
        else's, such as what sudo(8) has started.

        Args:
            lent: the marker of processes that runs lend each other.
            patience_seconds: longest time until the proof, in seconds.

        Returns:
            Processes that are still there: none, unless the kernel holds one.

        Raises:
            OSError: no descriptor is left to look.
        """
        deadline = time.monotonic() + patience_seconds
        while left := list(self._processes()):
            for pid in left:
                if (lent and marked.belongs(pid, lent)) or _is_master(pid) or not self._kill(pid):
                    self._let_go(pid)
            if time.monotonic() > deadline:
                return left
            time.sleep(_PAUSE)
        self.remove()
        return []

    def remove(self) -> None:
        """Remove it, if nothing is in it."""
        with contextlib.suppress(OSError):
            for directory in self._directories():
                directory.rmdir()

    def _directories(self) -> list[Path]:
        """List its directory, behind those of groups that were made in it."""
        walked = os.walk(self.path, topdown=False, onerror=_unless_gone)
        return [Path(directory) for directory, _, _ in walked]

    def _processes(self) -> Iterator[int]:
        for directory in self._directories():
            try:
                numbers = (directory / _PROCESSES).read_text().split()
            except OSError as error:
                _unless_gone(error)
                continue
            # 0 is one that this process cannot see.
            yield from (int(number) for number in numbers if number != "0")

    def _kill(self, pid: int) -> bool:
        """Kill one of them; return False for somebody else's."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            # Its number may have been given anew meanwhile.
            places = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
            if any(f"/{self.path.name}/" in f"{place}/" for place in places):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except PermissionError:
            return False
        except (FileNotFoundError, ProcessLookupError):
            pass
        finally:
            os.close(descriptor)
        return True

    def _let_go(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            (self.path.parent / _PROCESSES).write_text(str(pid))


def end_all(token: str) -> list[int]:
    """End the groups that a dead driver has left.

    Args:
        token: the beginning of its runs' markers, without the dot behind it.

    Returns:
        Processes that did not end.
    """
    return [pid for group in _groups(token) for pid in group.end()]


def remove_empty(token: str) -> None:
    """Remove groups in which nothing is.

    Args:
        token: the beginning of their markers, without the dot behind it.
    """
    for group in _groups(token):
        group.remove()


def _groups(token: str) -> list[Group]:
    own = _own()
    return [Group(path) for path in own.glob(f"{_PREFIX}{token}.*")] if own else []


@functools.cache
def _own() -> Path | None:
    """Find the directory of this process's group; None if there is none that we may write to."""
    try:
        root = _mounted()
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return None
    # Of version 2 it is the line of hierarchy 0 (cgroups(7)).
    paths = [line.removeprefix("0::/") for line in groups if line.startswith("0::/")]
    if root is None or not paths:
        return None
    own = root / paths[0]
    return own if os.access(own, os.W_OK) and os.access(own / _PROCESSES, os.W_OK) else None


def _mounted() -> Path | None:
    """Find where the file system is (proc(5), ``mountinfo``: root, place, ``-``, type)."""
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n"):
        fields, _, rest = line.partition(b" - ")
        if rest.startswith(b"cgroup2 "):
            root, place = fields.split(b" ")[3:5]
            if root == b"/":
                return Path(os.fsdecode(place))
    return None


def _unless_gone(error: OSError) -> None:
    """Raise an error, but that a group is not there any more."""
    if error.errno not in (errno.ENOENT, errno.ENODEV):
        raise error


def _is_master(pid: int) -> bool:
    """Tell whether a process is ssh's, for connections that are shared; it says so in ps(1)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
    except OSError:
        return False
    return words.startswith(b"ssh: ") and words.endswith(b" [mux]")
