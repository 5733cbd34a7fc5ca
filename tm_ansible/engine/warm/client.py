"""The driver's side: keeps a server of warm workers, and asks it for one."""

import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from tm_ansible.engine import marked
from tm_ansible.engine.child import ForkedChild, is_readable
from tm_ansible.engine.job import Job, Site
from tm_ansible.engine.warm.messages import Answer, Start

_log = logging.getLogger(__name__)
_PACKAGE_PARENT = Path(__file__).resolve().parents[3]
_SERVER = "tm_ansible.engine.warm.server"
# A server is renewed after so many runs, whatever it may have gathered.
_RUNS = 1000
_READY_SECONDS = 60.0
# Longest time until a server that is ready has forked.
_START_SECONDS = 2.0
_MAX_COMPLAINT = 1 << 20


class WarmWorkers:
    """Gives workers that need no start-up, when there is a server; it is started beside."""

    def __init__(self, site: Site) -> None:
        """Begin to start a server.

        Args:
            site: what all runs have in common.
        """
        self._site = site
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._starting = False
        self._closed = False
        self._renew()

    def start(self, job: Job, directory: Path) -> "ForkedChild | None":
        """Start a worker; its stdin waits for the job.

        Args:
            job: what it is to do.
            directory: for its temporary files.

        Returns:
            the worker; None if there is no server for such a job.
        """
        if not self._suits(job):
            return None
        with self._lock:
            server = self._server
            child = server.fork(job.marker, directory) if server else None
            if server and child is None:
                self._server = None
            if child is None or (server and server.runs >= _RUNS):
                self._renew()
        if server and child is None:
            # It may have forked after all: what starts cold must be alone.
            server.end()
            marked.end(job.marker)
        return child

    def close(self) -> None:
        """End the server."""
        with self._lock:
            self._closed = True
            if self._server:
                self._server.end()
            self._server = None

    def _suits(self, job: Job) -> bool:
        site = self._site
        return (
            job.environment == site.environment
            and job.collections == site.collections
            and job.options.ansible_config == site.options.ansible_config
            and job.options.host_key_checking == site.options.host_key_checking
        )

    def _renew(self) -> None:
        """Start a server in a thread; it takes the place of the one there is."""
        if self._starting or self._closed:
            return
        self._starting = True
        try:
            threading.Thread(target=self._start_server, name="warm", daemon=True).start()
        except RuntimeError:
            self._starting = False

    def _start_server(self) -> None:
        try:
            server = _Server.started(self._site)
        except OSError as error:
            _log.warning("no warm workers: %s", error)
            server = None
        with self._lock:
            self._starting = False
            if server and self._closed:
                server.end()
            elif server:
                old, self._server = self._server, server
                if old:
                    old.end()


class _Server:
    """A server that is ready."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self._process = process
        self._control = control
        self.runs = 0

    @classmethod
    def started(cls, site: Site) -> "_Server | None":
        """Start a server and wait until it is ready; None if it does not get there."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**site.environment, marked.VARIABLE: marked.room_for(site.marker)}
        with far:
            process = subprocess.Popen(
                [sys.executable, "-m", _SERVER, str(far.fileno())],
                cwd=_PACKAGE_PARENT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[far.fileno()],
                start_new_session=True,
            )
        server = cls(process, near)
        near.settimeout(_READY_SECONDS)
        try:
            near.send(msgspec.json.encode(site))
            ready = near.recv(64)
        except OSError:
            ready = b""
        if ready:
            near.settimeout(_START_SECONDS)
            return server
        server.end()
        _log.warning("runs start cold: %s", server.last_words())
        return None

    def last_words(self) -> str:
        """Return the last line of what a server that has ended complained of."""
        assert self._process.stderr  # noqa: S101 - for the type checker
        with self._process.stderr as stream:
            lines = stream.read(_MAX_COMPLAINT).decode("utf-8", "replace").split("\n")
        said = [line for line in lines if line.strip()]
        return said[-1] if said else f"the server ended with status {self._process.returncode}"

    def fork(self, marker: str, directory: Path) -> "ForkedChild | None":
        """Ask for a worker; None if none comes, and none will."""
        self.runs += 1
        request = msgspec.json.encode(Start(marker=marker, directory=str(directory)))
        pipes = [os.pipe() for _ in range(4)]
        (far_in, near_in), *outputs = pipes
        near_outputs = [near for near, _ in outputs]
        theirs = [far_in, *(far for _, far in outputs)]
        try:
            socket.send_fds(self._control, [request], theirs)
            pid = _pid(near_outputs[2])
        except OSError:
            pid = None
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        if pid is None:
            for descriptor in (near_in, *near_outputs):
                os.close(descriptor)
            return None
        return ForkedChild(pid, near_in, *near_outputs)

    def end(self) -> None:
        """End it; workers that it has started go on."""
        self._control.close()
        try:
            self._process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _pid(answers: int) -> int | None:
    """Wait for the first answer; None if it does not come."""
    if not is_readable(answers, _START_SECONDS):
        return None
    line = os.read(answers, 4096).partition(b"\n")[0]
    return msgspec.json.decode(line, type=Answer).pid if line else None
