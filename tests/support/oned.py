"""Plays oned to a driver: starts it as oned does, reads as oned 1.2 reads, and keeps what it said.

Descriptor 2 is closed, every signal is blocked, all arguments are one string, the environment is
short, and INIT is written at once. A thread reads one character at a time and notes each line
inside which 25 ms pass, for which oned would give the driver up.
"""

import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.hosts import children_of

ROOT = Path(__file__).resolve().parents[2]

_INSIDE_LINE_SECONDS = 0.025
_PROTOCOL_LINE = re.compile(
    r"INIT SUCCESS|INIT FAILURE \S.*|LOG [IWED] (-1|\d+) .*\S"
    r"|TRANSFER SUCCESS \d+ -|TRANSFER FAILURE \d+ [^-\s].*"
)
_REPLY = re.compile(r"TRANSFER (SUCCESS|FAILURE) (\d+) (.*)")
_LOG = re.compile(r"LOG [IWED] (-1|\d+) (.*)")


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one TRANSFER.

    Attributes:
        ok: whether it was SUCCESS.
        reason: what follows the VM's number; ``-`` on success.
    """

    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer that was answered.

    Attributes:
        ok: whether it succeeded.
        reason: of the reply; ``-`` on success.
        log: the VM's log lines since it was sent, without ``LOG <severity> <vm>``.
    """

    ok: bool
    reason: str
    log: list[str]


# Whether drivers start runs warm that are not told otherwise, and only once they can.
WARM = os.environ.get("TM_TEST_WARM", "0") == "1"


def _choose_warmth(location: Path, argument: str) -> bool:
    """Say in a map's settings whether runs start warm, unless the test has; tell what holds."""
    words = argument.split()
    directory = (location / "etc" / words[-1]).parent if words else location
    settings = directory / "settings.yml"
    if not directory.is_dir():
        return WARM
    text = settings.read_text() if settings.exists() else ""
    if not re.search("^engine:", text, re.MULTILINE):
        settings.write_text(f"{text}\nengine: {{warm: {str(WARM).lower()}}}\n")
    return WARM and "warm: false" not in text


def driver_command() -> list[str]:
    """Give the driver's command: the installed one beside this Python, else the checkout's."""
    installed = Path(sys.executable).parent / "one_tm_ansible"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "tm_ansible.mad"]


def as_oned(
    command: Sequence[str], argument: str, environment: Mapping[str, str], directory: Path
) -> "subprocess.Popen[bytes]":
    """Start a program as oned does.

    Args:
        command: the executable, and what precedes the driver's own argument.
        argument: all arguments in one string.
        environment: all of it.
        directory: the working directory.

    Returns:
        The process, with pipes as stdin and stdout, and with no descriptor 2.
    """

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.close(2)

    return subprocess.Popen(
        [*command, argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=dict(environment),
        cwd=directory,
        preexec_fn=prepare,  # noqa: PLW1509 - does what oned does between fork and exec
    )


class Oned:
    """A driver in the hands of a test; leave the ``with`` block to end and to check it.

    Attributes:
        var: ``$ONE_LOCATION/var``.
        process: the driver's.
        lines: everything it wrote, whole lines without newline.
    """

    def __init__(
        self,
        location: Path,
        argument: str,
        *,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        init_seconds: float = 5.0,
    ) -> None:
        """Start the driver and write INIT.

        Args:
            location: ``$ONE_LOCATION``; ``etc`` and ``var`` are below it.
            argument: the driver's arguments in one string.
            command: the executable; found by itself if not given.
            environment: added to, or put in place of, what oned has.
            init_seconds: how long the answer to INIT may take.
        """
        self.location = location
        self.var = location / "var"
        self.var.mkdir(parents=True, exist_ok=True)
        self.lines: list[str] = []
        self._replies: defaultdict[int, list[Reply]] = defaultdict(list)
        self._logs: defaultdict[int, list[str]] = defaultdict(list)
        self._torn: list[str] = []
        self._changed = threading.Condition()
        self._may_read = threading.Event()
        self._may_read.set()
        self._hung_up = False
        self._ended = False
        self._answered: dict[int, int] = {}
        self._scripts = 0
        base = {
            "ONE_LOCATION": str(location),
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C",
            "PYTHONPATH": str(ROOT),
        }
        is_warm = _choose_warmth(location, argument)
        self.process = as_oned(
            command or driver_command(), argument, base | dict(environment or {}), self.var
        )
        self.started = time.monotonic()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send("INIT")
        self.wait_for(lambda: self.lines or self._ended, init_seconds, "an answer to INIT")
        self.init_took = time.monotonic() - self.started
        if is_warm and self.init == "INIT SUCCESS":
            self.wait_warm()

    def __enter__(self) -> "Oned":
        """Give the driver."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the driver if it lives, and check all that it wrote unless the test failed."""
        self.kill()
        if kind is None:
            self.check_lines()

    def wait_warm(self, timeout: float = 60) -> int:
        """Wait until runs start warm, and give the process id of the server that sees to it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for pid in children_of(self.process.pid):
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text() == "tm-warm\n":
                        time.sleep(0.5)  # the driver has yet to hear of it
                        return pid
            time.sleep(0.05)
        raise AssertionError(f"no server of warm workers within {timeout} s")

    @property
    def init(self) -> str:
        """The first line that the driver wrote."""
        return self.lines[0] if self.lines else ""

    def send(self, line: str | bytes) -> None:
        """Write a line; the newline is added."""
        data = line if isinstance(line, bytes) else line.encode()
        self.write(data + b"\n")

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        assert self.process.stdin
        view = memoryview(data)
        while view:
            view = view[os.write(self.process.stdin.fileno(), view) :]

    def submit(self, vm_id: int, script: str | bytes) -> Path:
        """Write a transfer script and ask for it, without waiting.

        Args:
            vm_id: the VM.
            script: the contents.

        Returns:
            The file, ``<var>/<vm>/transfer.<n>``.
        """
        path = self.var / str(vm_id) / f"transfer.{self._scripts}"
        self._scripts += 1
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(script if isinstance(script, bytes) else script.encode())
        self.send(f"TRANSFER {vm_id} {path}")
        return path

    def transfer(self, vm_id: int, script: str | bytes, timeout: float = 60) -> Transferred:
        """Have a script carried out.

        Args:
            vm_id: the VM.
            script: its contents.
            timeout: longest wait in seconds.

        Returns:
            How it went.
        """
        before = len(self.logs(vm_id))
        self.submit(vm_id, script)
        reply = self.wait_reply(vm_id, timeout)
        return Transferred(reply.ok, reply.reason, self.logs(vm_id)[before:])

    def wait_reply(self, vm_id: int, timeout: float = 60) -> Reply:
        """Wait for the VM's oldest reply that was not asked for yet."""
        index = self._answered.get(vm_id, 0)
        self.wait_for(
            lambda: len(self.replies(vm_id)) > index, timeout, f"reply {index + 1} for VM {vm_id}"
        )
        self._answered[vm_id] = index + 1
        return self.replies(vm_id)[index]

    def wait_log(self, vm_id: int, part: str, timeout: float = 60) -> str:
        """Wait for a log line of a VM that contains a text, and give it."""

        def matching() -> list[str]:
            return [line for line in self.logs(vm_id) if part in line]

        self.wait_for(matching, timeout, f"a log line with {part!r} for VM {vm_id}")
        return matching()[0]

    def replies(self, vm_id: int) -> list[Reply]:
        """Give all replies for a VM so far."""
        return list(self._replies[vm_id])

    def logs(self, vm_id: int) -> list[str]:
        """Give a VM's log lines so far; -1 for those of oned.log."""
        return list(self._logs[vm_id])

    def wait_for(self, condition: Callable[[], object], timeout: float, what: str) -> None:
        """Wait until something is true of what the driver wrote, or fail the test."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                last = "\n".join(self.lines[-20:])
                raise AssertionError(f"waited {timeout} s for {what}; the last lines:\n{last}")

    def finalize(self, timeout: float = 10) -> int:
        """Ask for the end, close both pipes as oned does, and give the exit status."""
        self.send("FINALIZE")
        return self.close_stdin(timeout)

    def close_stdin(self, timeout: float = 10) -> int:
        """End the driver's input, wait, and give the exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.wait(timeout)

    def wait(self, timeout: float = 10) -> int:
        """Wait for the driver's end and give the exit status."""
        status = self.process.wait(timeout)
        self.resume()
        self._reader.join(timeout)
        return status

    def kill(self) -> None:
        """Kill the driver if it lives."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.resume()
        self._reader.join(5)
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()

    def pause(self) -> None:
        """Read no more than one character from now on."""
        self._may_read.clear()

    def resume(self) -> None:
        """Read again."""
        self._may_read.set()

    def hang_up(self) -> None:
        """Close the pipe that the driver writes to, as an oned does that has crashed."""
        self.pause()
        self.send("NONSENSE")  # a warning: the reader takes its first character, and waits
        time.sleep(0.2)
        assert self.process.stdout
        self.process.stdout.close()
        self._hung_up = True
        self.send("NONSENSE")

    def check_lines(self) -> None:
        """Check that each line is of the protocol, short, clean, and came in one piece."""
        assert not self._torn, f"25 ms passed inside a line after: {self._torn}"
        for line in self.lines:
            assert _PROTOCOL_LINE.fullmatch(line), f"not of the protocol: {line!r}"
            assert len(line.encode("utf-8", "surrogateescape")) < 4096, f"too long: {line[:80]!r}"
            assert not re.search(r"[\x00-\x1f\x7f]", line), f"control character: {line!r}"

    def _read(self) -> None:
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        line = bytearray()
        while character := self._read_character(descriptor, line):
            if character == b"\n":
                self._keep(line.decode("utf-8", "surrogateescape"))
                line.clear()
            else:
                line += character
        with self._changed:
            self._ended = True
            if line and not self._hung_up:
                self._torn.append(line.decode("utf-8", "surrogateescape"))
            self._changed.notify_all()

    def _read_character(self, descriptor: int, line: bytearray) -> bytes:
        if line and not select.select([descriptor], [], [], _INSIDE_LINE_SECONDS)[0]:
            self._torn.append(line.decode("utf-8", "surrogateescape"))
        self._may_read.wait()
        with suppress(OSError):  # closed, by hang_up
            return os.read(descriptor, 1)
        return b""

    def _keep(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            if match := _REPLY.fullmatch(line):
                self._replies[int(match[2])].append(Reply(match[1] == "SUCCESS", match[3]))
            elif match := _LOG.fullmatch(line):
                self._logs[int(match[1])].append(match[2])
            self._changed.notify_all()
