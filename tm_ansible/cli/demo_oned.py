"""The part of oned that the demonstration needs: it starts the driver and talks to it."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from tm_ansible.cli.demo_site import Site
from tm_ansible.errors import EngineError

_PATIENCE_SECONDS = 300.0


class Oned:
    """A driver, started as oned starts it: pipes, no stderr, blocked signals, a short PATH."""

    def __init__(self, site: Site) -> None:
        """Start the driver and wait for its answer to INIT.

        Args:
            site: where it is installed.

        Raises:
            EngineError: it does not start, or does not get ready.
        """
        start = time.monotonic()
        self._driver = _start(site)
        # A driver that hangs must not hang the demonstration.
        self._patience = threading.Timer(_PATIENCE_SECONDS, self._driver.kill)
        self._patience.daemon = True
        self._patience.start()
        self._send("INIT")
        answer = next((line for line in self._lines() if line[0] == "INIT"), ["INIT", "no answer"])
        if answer[1] != "SUCCESS":
            raise EngineError(f"the driver does not start: {' '.join(answer)}")
        self.init_seconds = time.monotonic() - start

    def __enter__(self) -> "Oned":
        """Return the running driver."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send FINALIZE, close both pipes as oned does, and wait for the end."""
        self._send("FINALIZE")
        for stream in (self._driver.stdin, self._driver.stdout):
            if stream:
                stream.close()
        try:
            self._driver.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._driver.kill()
            self._driver.wait()
        self._patience.cancel()

    def transfer(self, script: Path, log: Callable[[str, str, str], None]) -> str:
        """Have a transfer script of VM 0 carried out.

        Args:
            script: its file.
            log: called with part, severity and text of each line of the VM's log.

        Returns:
            The reason of the failure; empty for success.
        """
        self._send(f"TRANSFER 0 {script}")
        for verb, status, vm_id, *text in self._lines():
            if verb == "LOG":
                log("TM", status, " ".join(text))
            elif verb == "TRANSFER" and vm_id == "0":
                return "" if status == "SUCCESS" else " ".join(text)
        return "the driver has ended"

    def _lines(self) -> "LineReader":
        return LineReader(self._driver.stdout)

    def _send(self, line: str) -> None:
        if self._driver.stdin:
            os.write(self._driver.stdin.fileno(), f"{line}\n".encode())


class LineReader:
    """Iterates over the driver's lines, each split into four words at most."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        """Read from a pipe."""
        self._stream = stream

    def __iter__(self) -> "LineReader":
        """Return itself."""
        return self

    def __next__(self) -> list[str]:
        """Return the words of the next line."""
        line = self._stream.readline() if self._stream else b""
        if not line:
            raise StopIteration
        words = line.decode().rstrip("\n").split(" ", 3)
        return words + [""] * (4 - len(words))


def _start(site: Site) -> "subprocess.Popen[bytes]":
    name = site.model.directory
    # A home of its own: Ansible's own files are to stay in the temporary directory, too.
    environment = {
        "ONE_LOCATION": str(site.one),
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
        "HOME": str(site.directory),
    }
    try:
        return subprocess.Popen(
            [str(site.one / "lib" / "mads" / "one_tm_ansible"), f"{name}/{name}.conf"],
            cwd=site.var,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=_as_oned_does,  # noqa: PLW1509 (no thread has been started yet)
        )
    except OSError as error:
        raise EngineError(f"the driver cannot be started: {error}") from error


def _as_oned_does() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.close(2)
