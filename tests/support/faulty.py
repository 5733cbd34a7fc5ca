"""Ways to harm a copy that is under way: what runs for it, how far it is, and ends of all kinds."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.support.command import COMMAND, ROOT
from tests.support.hosts import SshHost, children_of
from tests.support.oned import Oned
from tests.support.processes import alive, wait_until

# How our programs on any host are started, in each one's arguments.
OUR_PROGRAM = b"zlib.decompress"


class Run:
    """A ``tm-ansible run`` under way; its output goes to a file, which no killed child holds up."""

    def __init__(
        self, words: Iterable[str], location: Path, output: Path, prefix: Iterable[str] = ()
    ) -> None:
        """Start it.

        Args:
            words: behind ``tm-ansible run``.
            location: ``$ONE_LOCATION``.
            output: file that gets what it says.
            prefix: a command that starts another, such as that of ``filesystems.FrontEnd``.
        """
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [*prefix, *COMMAND, "run", *words],
                env=os.environ | {"PYTHONPATH": str(ROOT), "ONE_LOCATION": str(location)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> "Run":
        """Give the run."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill what is left of it."""
        for pid in [*descendants(self.process.pid), self.process.pid]:
            kill(pid)
        self.process.wait()

    @property
    def output(self) -> str:
        """What it said so far."""
        return self._output.read_text(errors="replace")

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def wait(self, seconds: float = 120) -> int:
        """Wait for its end and give its exit status."""
        return self.process.wait(seconds)


class Driven:
    """A transfer that a driver has under way; looks like a ``Run``.

    Attributes:
        process: the driver's.
    """

    def __init__(self, driver: Oned, vm_id: int, script: str) -> None:
        """Ask for it."""
        self.process = driver.process
        self._driver, self._vm_id = driver, vm_id
        driver.submit(vm_id, script)

    def __enter__(self) -> "Driven":
        """Give the transfer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave it to the driver."""

    @property
    def is_over(self) -> bool:
        """Whether it was answered, or nobody is there to answer."""
        return bool(self._driver.replies(self._vm_id)) or self.process.poll() is not None

    @property
    def output(self) -> str:
        """What the driver said so far."""
        return "\n".join(self._driver.lines)

    def wait(self, seconds: float = 120) -> int:
        """Wait for its answer or the driver's end; give 0 for success."""
        wait_until(lambda: self.is_over, seconds)
        replies = self._driver.replies(self._vm_id)
        return 0 if replies and replies[-1].ok else 1


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a process a signal, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Give all processes below one."""
    found = list(children_of(pid))
    for child in found:
        found.extend(children_of(child))
    return found


def words(pid: int) -> bytes:
    """Give a process's arguments, or nothing if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def name(pid: int) -> str:
    """Give the name of a process's program, or nothing if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def programs(pids: Iterable[int]) -> list[int]:
    """Give those of some processes that run a program of ours for a host."""
    return [pid for pid in pids if OUR_PROGRAM in words(pid) and name(pid).startswith("python")]


def ssh_clients(control_path_dir: Path) -> list[int]:
    """Give the ssh clients, masters included, with a control socket in a directory."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    sockets = os.fsencode(control_path_dir)
    return [pid for pid in pids if name(pid) == "ssh" and sockets in words(pid)]


def written(*directories: Path) -> int:
    """Give the bytes on disk of all that has a temporary name of ours below some directories."""
    total = 0
    for top in directories:
        for directory, _below, files in os.walk(top):
            for file in files:
                if ".tm-" in f"{directory[len(str(top)) :]}/{file}":
                    with suppress(OSError):
                        total += Path(directory, file).lstat().st_blocks * 512
    return total


def wait_written(run: Run | Driven, directory: Path, size: int) -> bool:
    """Wait until so many bytes are on a destination's disk; tell whether the run still lasts."""
    while not run.is_over:
        if written(directory) >= size:
            return True
        time.sleep(0.001)
    return False


def wait_gone(pids: Callable[[], Iterable[int]], seconds: float = 10) -> bool:
    """Wait until there are no such processes any more; tell whether that came true."""
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids()):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Cutter:
    """Cuts a copy in one of several ways; chance decides on whom it falls.

    Attributes:
        hosts: those that take part.
        control_path_dir: where our ssh clients' sockets are.
        chance: where decisions come from.
    """

    def __init__(
        self, hosts: Iterable[SshHost], control_path_dir: Path, chance: random.Random
    ) -> None:
        """Take whom it may fall on."""
        self.hosts = list(hosts)
        self.control_path_dir = control_path_dir
        self.chance = chance

    def client(self, _run: Run | Driven) -> list[int]:
        """Kill an ssh client, here or on a host, or all of them."""
        there = [pid for host in self.hosts for pid in host.descendants() if name(pid) == "ssh"]
        return self._kill(ssh_clients(self.control_path_dir) + there, self.chance.random() < 0.5)

    def server(self, _run: Run | Driven) -> list[int]:
        """Kill all connections on one host, at the host's end."""
        host = self.chance.choice(self.hosts)
        return self._kill(list(children_of(host.pid)), everybody=True)

    def program(self, run: Run | Driven) -> list[int]:
        """Kill the sender or the receiver."""
        return self._kill(self.programs(run), everybody=False)

    def ours(self, run: Run | Driven) -> list[int]:
        """Kill one process of ours on the front-end, or all."""
        below = descendants(run.process.pid)
        far = programs(below)
        python = [
            pid
            for pid in below
            if pid not in far and name(pid).startswith(("python", "ansible", "tm-"))
        ]
        return self._kill([run.process.pid, *python], self.chance.random() < 0.5)

    def programs(self, run: Run | Driven) -> list[int]:
        """Give the programs that move the bytes, on whatever host."""
        pids = descendants(run.process.pid)
        for host in self.hosts:
            pids += host.descendants()
        return programs(pids)

    def _kill(self, pids: list[int], everybody: bool) -> list[int]:
        """Kill all of some processes or one of them; give the killed."""
        victims = pids if everybody or not pids else [self.chance.choice(pids)]
        for pid in victims:
            kill(pid)
        return victims


def flipping_interpreter(path: Path, offset: int, python: str = sys.executable) -> Path:
    """Write an interpreter that flips one bit of the standard input of a program of ours.

    Args:
        path: file to write.
        offset: where in the input the bit is, in bytes.
        python: the interpreter that it starts.

    Returns:
        The path, for ``ansible_python_interpreter``.
    """
    path.write_text(FLIPPER.format(python=python, offset=offset))
    path.chmod(0o755)
    return path


FLIPPER = """#!{python}
import os, subprocess, sys
child = subprocess.Popen(["{python}", *sys.argv[1:]], stdin=subprocess.PIPE)
seen = 0
while block := bytearray(os.read(0, 1 << 16)):
    if seen <= {offset} < seen + len(block):
        block[{offset} - seen] ^= 0x10
    seen += len(block)
    try:
        child.stdin.write(block)
        child.stdin.flush()
    except BrokenPipeError:
        break
try:
    child.stdin.close()
except BrokenPipeError:
    pass
sys.exit(child.wait())
"""
