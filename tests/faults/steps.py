"""Harm at a step of a process: as it enters its n-th call of a system call that changes something.

Calls are counted by strace(1), for each process and each system call by itself. Whoever uses this
goes through the system calls that a run makes, and for each counts up until a run passes in which
nobody has come so far; then each step of all was tried.
"""

import functools
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# What changes something on a disk, or tells somebody something.
CHANGES = (
    *("write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range", "sendmsg"),
    *("ftruncate", "fallocate", "fsync", "fdatasync", "flock"),
    *("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2"),
    *("symlink", "symlinkat", "link", "linkat", "chmod", "fchmod", "fchmodat"),
    *("chown", "fchown", "fchownat", "lchown", "utimensat"),
)
# And what else a process does that starts others and waits for them.
ALL = (*CHANGES, "openat", "close", "read", "poll", "clone", "clone3", "pipe2", "eventfd2")
KILLED = "+++ killed by SIGKILL +++"
INTERPRETER = """\
#!/bin/sh
point=$(cat {point})
test -n "$point" || exec {python} "$@"
exec strace {options} -e "inject=$point" {python} "$@"
"""


@functools.cache
def missing_for_steps() -> str | None:
    """Tell why no process can be traced here; None if they can."""
    if shutil.which("strace") is None:
        return "counting steps needs the program strace"
    done = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", "inject=?fsync:signal=KILL", "true"],
        capture_output=True,
        check=False,
        text=True,
    )
    return done.stderr.strip() if done.returncode else None


def numbers() -> Iterator[int]:
    """Yield 1, 2, … 30, and from there on larger and larger steps: mke2fs writes hundreds."""
    number = 1
    while True:
        yield number
        number += max(1, number // 10 - 1)


class Step(NamedTuple):
    """The n-th call of a system call; nobody comes to the last that can be counted."""

    call: str
    number: int

    def __str__(self) -> str:
        """Name it."""
        return f"{self.call} {self.number}"


NOWHERE = Step("write", 65_000)


class Steps:
    """Kills processes at a step.

    Attributes:
        inventory: gives ``node1`` an interpreter that is killed so.
    """

    def __init__(self, directory: Path, calls: Iterable[str] = CHANGES) -> None:
        """Write the interpreter, harmless as yet.

        Args:
            directory: for that and for what strace says.
            calls: names of system calls that are steps; unknown ones are passed over.
        """
        self._point, self._log = directory / "point", directory / "strace.log"
        self.inventory = directory / "steps.ini"
        self._point.touch()
        self._calls = ",".join(f"?{call}" for call in calls)
        self._options = ["-f", "-A", "-o", str(self._log), "-e", f"trace={self._calls}"]
        interpreter = directory / "python3"
        interpreter.write_text(
            INTERPRETER.format(
                point=shlex.quote(str(self._point)),
                options=shlex.join(["-qq", *self._options]),
                python="/usr/bin/python3",
            )
        )
        interpreter.chmod(0o755)
        self.inventory.write_text(f"node1 ansible_python_interpreter={interpreter}\n")

    @contextmanager
    def of_host(self, step: Step) -> Iterator[None]:
        """Kill what starts on the host within the block."""
        with self._injecting(_kill_at(step)):
            yield

    @contextmanager
    def failing(self, calls: Iterable[str], error: str) -> Iterator[None]:
        """Have system calls fail in what starts on the host within the block.

        Args:
            calls: names of them, among those that are steps.
            error: the name in errno(3).
        """
        with self._injecting(f"{','.join(f'?{call}' for call in calls)}:error={error}"):
            yield

    @contextmanager
    def _injecting(self, expression: str) -> Iterator[None]:
        self._log.unlink(missing_ok=True)
        self._point.write_text(expression)
        try:
            yield
        finally:
            self._point.write_text("")

    @contextmanager
    def of(self, pids: Sequence[int], step: Step) -> Iterator[None]:
        """Kill processes that run already, or any that they start within the block."""
        self._log.unlink(missing_ok=True)
        inject = ["-e", f"inject={_kill_at(step)}"]
        inject += [f"--attach={pid}" for pid in pids]
        command = ["strace", *self._options, *inject]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
            assert tracer.stderr
            for _ in pids:
                assert b"attached" in tracer.stderr.readline()
            try:
                yield
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.communicate(timeout=20)

    @property
    def was_reached(self) -> bool:
        """Whether anything was killed in the last block."""
        return KILLED in self.log

    @property
    def calls(self) -> list[str]:
        """The system calls that were made in the last block."""
        return sorted(set(re.findall(r"^\d+ +(\w+)\(", self.log, re.MULTILINE)))

    @property
    def has_failed(self) -> bool:
        """Whether a system call was made to fail in the last block."""
        return "(INJECTED)" in self.log

    @property
    def log(self) -> str:
        """What strace wrote in the last block."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _kill_at(step: Step) -> str:
    return f"?{step.call}:signal=KILL:when={step.number}"
