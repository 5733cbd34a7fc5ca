"""The driver's side: keeps a server of warm workers, and asks it for one."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from tm_ansible.engine import marked
from tm_ansible.engine.cgroup import Group
from tm_ansible.engine.child import ForkedChild, close_all, is_readable
from tm_ansible.engine.holdings import directory_prefix
from tm_ansible.engine.job import Job, Site
from tm_ansible.engine.warm.messages import Answer, Start

_log = logging.getLogger(__name__)
_PACKAGE_PARENT = Path(__file__).resolve().parents[3]
_SERVER = "tm_ansible.engine.warm.server"
# A server is renewed after so many runs, whatever it may have gathered.
_RUNS = 1000
# Nobody waits for it meanwhile.
_READY_SECONDS = 300.0
# Longest time until a server that is ready hands a worker over. On a machine on which that takes
# seconds, cold starts instead would take minutes, and leave no time for a new server.
_START_SECONDS = 10.0
# Longest time for its end when it is asked for no more.
_END_SECONDS = 2.0
# The same when the driver ends, and for the end of one that is not ready.
_CLOSE_SECONDS = 0.2
# Time without another attempt after a server that did not get ready.
_PAUSE_SECONDS = 60.0
_MAX_COMPLAINT = 1 << 20


class WarmWorkers:
    """Gives workers that need no start-up, when there is a server; it is started beside."""

    def __init__(self, site: Site, temporary: Path) -> None:
        """Begin to start a server.

        Args:
            site: what all runs have in common.
            temporary: directory for temporary files of runs.
        """
        self._site = site
        self._temporary = temporary
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._starting: threading.Thread | None = None
        self._unready: _Server | None = None
        self._leaving: list[_Server] = []
        self._not_before = 0.0
        self._closed = False
        self._renew()

    @property
    def marker(self) -> str:
        """Tell the marker of what runs lend each other."""
        return self._site.marker

    def start(self, job: Job, directory: Path) -> "ForkedChild | None":
        """Start a worker; its stdin waits for the job.

        Args:
            job: what it is to do.
            directory: for its temporary files.

        Returns:
            the worker; None if there is no server for such a job.

        Raises:
            OSError: no descriptor is left.
        """
        if not self._suits(job):
            return None
        start = Start(marker=job.marker, directory=str(directory))
        with self._lock:
            server = self._server
            child = server.fork(start) if server else None
            if server and child is None:
                self._server = None
            if child is None or (server and server.runs >= _RUNS):
                self._renew()
            if server and child is None:
                self._leaving.append(server)
        if server and child is None:
            # It may have forked after all: what starts cold must be alone.
            server.leave()
            marked.end(job.marker)
        return child

    def close(self) -> None:
        """End the server, also one that is not ready yet, or that somebody waits for."""
        self._closed = True
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            self._lock.release()
        elif asked := self._server:
            asked.kill()
        with self._lock:
            server, self._server = self._server, None
            starting = self._starting
            if self._unready:
                self._unready.kill()
            leaving = self._leaving
        for each in [server, *leaving] if server else leaving:
            each.end(_CLOSE_SECONDS)
        if starting:
            starting.join(_CLOSE_SECONDS)

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
        if self._starting or self._closed or time.monotonic() < self._not_before:
            return
        thread = threading.Thread(target=self._replace, name="warm", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        self._starting = thread

    def _replace(self) -> None:
        server = None
        try:
            server = self._start_server()
        except Exception as error:
            _log.warning("runs start cold: %s: %s", type(error).__name__, error)
        with self._lock:
            self._starting = self._unready = None
            if server is None:
                self._not_before = time.monotonic() + _PAUSE_SECONDS
            elif not self._closed:
                server, self._server = self._server, server
            self._leaving = [each for each in self._leaving if each.lives()]
            if server:
                self._leaving.append(server)
        if server:
            server.leave()

    def _start_server(self) -> "_Server | None":
        """Start a server and wait until it is ready; None if it does not get there."""
        prefix = directory_prefix(self._site.marker)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self._temporary) as directory:
            server = _Server(self._site, directory)
            with self._lock:
                self._unready = server
                if self._closed:
                    server.kill()
            if server.is_ready(self._site):
                return server
            server.end()
        said = server.last_words()
        if not self._closed:
            _log.warning("runs start cold: %s", said)
        return None


class _Server:
    """A server: a process and the socket that leads to it."""

    def __init__(self, site: Site, directory: str) -> None:
        """Start the process.

        Args:
            site: for whose runs.
            directory: an empty directory, of which it has need until it is ready.
        """
        self.runs = 0
        self._is_hung = False
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**site.environment, marked.VARIABLE: marked.room_for(site.marker)}
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _SERVER, str(far.fileno()), directory],
                cwd=_PACKAGE_PARENT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[far.fileno()],
                start_new_session=True,
            )

    def is_ready(self, site: Site) -> bool:
        """Tell it what to load, and wait until it has; tell whether it has."""
        self._control.settimeout(_READY_SECONDS)
        try:
            self._control.send(msgspec.json.encode(site))
            ready = bool(self._control.recv(64))
        except OSError:
            ready = False
        self._control.settimeout(_START_SECONDS)
        if ready and self._process.stderr:
            self._process.stderr.close()
        return ready

    def kill(self) -> None:
        """Kill it; whoever waits for it learns of that."""
        self._process.kill()

    def last_words(self) -> str:
        """Return the last line of what a server that has ended complained of."""
        assert self._process.stderr  # noqa: S101 - for the type checker
        with self._process.stderr as stream:
            lines = stream.read(_MAX_COMPLAINT).decode("utf-8", "replace").split("\n")
        said = [line for line in lines if line.strip()]
        return said[-1] if said else f"the server ended with status {self._process.returncode}"

    def fork(self, start: Start) -> "ForkedChild | None":
        """Ask for a worker; None if none comes, and none will."""
        self.runs += 1
        request = msgspec.json.encode(start)
        near: list[int] = []
        try:
            if not self._send(request, near):
                return None
            self._is_hung = not is_readable(near[-1], _START_SECONDS)
            answer = None if self._is_hung else _answer(near[-1])
            if not answer:
                return None
            child = ForkedChild(answer.pid, *near)
            near.clear()
            child.group = Group(Path(answer.group)) if answer.group else None
            return child
        finally:
            close_all(near)

    def _send(self, request: bytes, near: list[int]) -> bool:
        """Send a request with the far ends of four new pipes, and keep the near ones."""
        far: list[int] = []
        try:
            for is_input in (True, False, False, False):
                reading, writing = os.pipe()
                near.append(writing if is_input else reading)
                far.append(reading if is_input else writing)
            with contextlib.suppress(OSError):
                socket.send_fds(self._control, [request], far)
                return True
            return False
        finally:
            # Before anybody waits for an answer: a pipe of which we had both ends would not end.
            close_all(far)

    def leave(self) -> None:
        """Ask for no more: it ends with the last of its workers, or now if it does not answer."""
        self._control.close()
        if self._is_hung:
            self._process.kill()
        threading.Thread(target=self._process.wait, name="warm", daemon=True).start()

    def lives(self) -> bool:
        """Tell whether the process is there."""
        return self._process.poll() is None

    def end(self, seconds: float = _END_SECONDS) -> None:
        """End it, whatever it has under way.

        Args:
            seconds: how long it may take by itself.
        """
        self._control.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _answer(answers: int) -> Answer | None:
    """Read the first answer; None if there is none."""
    line = os.read(answers, 4096).partition(b"\n")[0]
    return msgspec.json.decode(line, type=Answer) if line else None
