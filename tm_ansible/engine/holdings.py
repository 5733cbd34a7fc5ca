"""What a run has for itself: a directory for temporary files, and its processes."""

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tm_ansible.engine import cgroup, marked
from tm_ansible.engine.cgroup import Group
from tm_ansible.errors import EngineError

_log = logging.getLogger(__name__)
# How often to try to clean up while the system has no descriptor to spare, and the pause.
_LOOKS = 10
_LOOK_SECONDS = 0.3


class Holdings:
    """A directory of the run's own, which is its TMPDIR, and what bears the marker.

    Attributes:
        directory: for temporary files; its name has the marker, and an end that nobody can guess.
            Others may write where it lies, and markers are counted: another user could have
            taken the next ones.
        group: of its processes, where the kernel holds them together.
    """

    def __init__(self, marker: str, environment: Mapping[str, str], lent: str = "") -> None:
        """Make the directory.

        Args:
            marker: of the run.
            environment: of the run; it says where temporary files are.
            lent: the marker of processes that runs lend each other.

        Raises:
            EngineError: the directory cannot be made.
        """
        self._marker, self._lent = marker, lent
        root = temporary_root(environment)
        try:
            self.directory = Path(tempfile.mkdtemp(prefix=directory_prefix(marker), dir=root))
        except OSError as error:
            raise EngineError(f"no directory for temporary files: {error}") from error
        self.group: Group | None = None

    def hold(self, pid: int) -> None:
        """Take a process that was just started, and all that it will start, into a group."""
        self.group = Group.make(self._marker)
        if self.group:
            self.group.add(pid)

    def end(self) -> list[int] | None:
        """End its processes. Looking for them takes descriptors, which may be scarce.

        Returns:
            Processes that do not end: none, unless the kernel holds one. None if nobody knows.
        """

        def look() -> list[int]:
            left = marked.end(self._marker)
            # What has taken the marker out of its environment is there still.
            return left + (self.group.end(self._lent) if self.group else [])

        return _look_again(look, self._marker)

    def remove(self) -> None:
        """Remove the directory, and a group that is empty."""
        if self.group:
            self.group.remove()
        for _ in range(_LOOKS):
            shutil.rmtree(self.directory, ignore_errors=True)
            if not self.directory.exists():
                return
            time.sleep(_LOOK_SECONDS)
        _log.warning("cannot remove %s", self.directory)


def _look_again(look: Callable[[], list[int]], marker: str) -> list[int] | None:
    """Look for processes, again while no descriptor is left; None if there never was one."""
    left: list[int] | None = None
    for _ in range(_LOOKS):
        try:
            left = look()
            break
        except OSError as error:
            _log.warning("looking for processes of %s: %s", marker, error)
            time.sleep(_LOOK_SECONDS)
    return left


def end_orphans(token: str, environment: Mapping[str, str]) -> list[int] | None:
    """End what the runs of a dead driver have left: processes and temporary files.

    Args:
        token: the beginning of their markers, without the dot behind it.
        environment: of runs; it says where temporary files are.

    Returns:
        Processes that did not end: none, unless the kernel holds one. None if nobody knows.
    """
    left = _look_again(lambda: [*marked.end(f"{token}."), *cgroup.end_all(token)], token)
    for directory in directories(token, environment):
        shutil.rmtree(directory, ignore_errors=True)
    return left


def directories(token: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """Find directories of runs, and of what runs start from; those of this user alone.

    Args:
        token: the beginning of their markers, without the dot behind it.
        environment: of runs; it says where temporary files are.

    Yields:
        Their paths.
    """
    for directory in temporary_root(environment).glob(f"{directory_prefix(token)}*"):
        with contextlib.suppress(OSError):
            if directory.lstat().st_uid == os.geteuid():
                yield directory


def directory_prefix(marker: str) -> str:
    """Return how the name of a directory begins.

    Args:
        marker: of what has it.
    """
    return f"tm_ansible.{marker}."


def temporary_root(environment: Mapping[str, str]) -> Path:
    """Tell where runs have their temporary files.

    Args:
        environment: of runs.
    """
    return Path(environment.get("TMPDIR") or tempfile.gettempdir())
