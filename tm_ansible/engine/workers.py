"""Worker processes: how they are started, and how all that one has comes to its end."""

import contextlib
import logging
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeAlias

from tm_ansible.engine import marked
from tm_ansible.engine.causes import ending
from tm_ansible.engine.child import Child
from tm_ansible.engine.holdings import Holdings
from tm_ansible.engine.job import Job
from tm_ansible.engine.warm.client import WarmWorkers
from tm_ansible.errors import EngineError

_log = logging.getLogger(__name__)
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]

# What jobs have in common that one run could carry out, one after the other.
Kind: TypeAlias = bytes


@dataclass(slots=True, eq=False)
class Worker:
    """A worker process, and what its run has for itself.

    Attributes:
        process: the worker.
        own: ended and removed with it.
        kind: of its jobs, if it may take several.
        began: when, by the monotonic clock.
        jobs: how many it has taken.
    """

    process: Child
    own: Holdings
    kind: Kind | None = None
    began: float = field(default_factory=time.monotonic)
    jobs: int = 1

    def end(self, label: str) -> None:
        """End all that the run has started, and prove it.

        Args:
            label: names the action in the driver's log, if something does not end.
        """
        _close(self.process.stdin)
        left = self.own.end()
        if left != []:
            _log.error("%s: processes that do not end: %s", label, left or "unknown")
        if self.process.pid not in (left or []):
            self.process.kill()
            self.process.wait()

    def let_go(self) -> None:
        """Close and remove what it had; it has ended."""
        abandon_streams(self.process)
        with contextlib.suppress(OSError):
            self.own.remove()

    def told_end(self) -> str:
        """Tell how the process ended that told no outcome."""
        status = self.process.returncode
        if status is None:
            return "ended, nobody knows how"
        return f"{ending(status)} and told no outcome" if status >= 0 else ending(status)


def start(worker: str, job: Job, warm: WarmWorkers | None, kind: Kind | None) -> Worker:
    """Start a worker, warm if there is a server for such a job.

    Args:
        worker: the module whose main program is a worker that starts cold.
        job: its first.
        warm: gives workers that need no start-up.
        kind: of the job, if the worker may stay for others.

    Raises:
        EngineError: it could not be started.
    """
    own = Holdings(job.marker, job.environment, warm.marker if warm else "")
    try:
        child = warm.start(job, own.directory) if warm else None
        if child:
            own.group = child.group
        return Worker(child or _spawn(worker, job, own), own, kind)
    except Exception as error:
        own.end()
        own.remove()
        if not isinstance(error, OSError | RuntimeError):
            raise
        raise EngineError(f"cannot start a worker process: {error}") from error


def _spawn(worker: str, job: Job, own: Holdings) -> "subprocess.Popen[bytes]":
    """Start it where it finds this very package, whatever its environment says."""
    places = {marked.VARIABLE: job.marker, "TMPDIR": str(own.directory)}
    process = subprocess.Popen(
        [sys.executable, "-m", worker],
        cwd=_PACKAGE_PARENT,
        env={**job.environment, **places},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    own.hold(process.pid)
    return process


def abandon_streams(process: Child) -> None:
    """Close the pipes of a process.

    Args:
        process: whatever it does.
    """
    for stream in (process.stdin, process.stdout, process.stderr):
        _close(stream)


def _close(stream: IO[bytes] | None) -> None:
    if stream:
        with contextlib.suppress(OSError):
            stream.close()
