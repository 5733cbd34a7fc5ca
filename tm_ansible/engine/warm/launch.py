"""A process that waits for ansible-playbook's command line, forked before there are threads.

It may stay behind a job: its task then asks for the variables of the next one, see ``feeding``.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from ansible_collections.one.tm.plugins.plugin_utils import feeding, sessions
from ansible_collections.one.tm.plugins.plugin_utils.kept import Keeper

from tm_ansible.engine import inputs
from tm_ansible.engine.child import is_readable, open_end
from tm_ansible.engine.job import Job, RunOptions, Value
from tm_ansible.engine.warm import forked, identity, playbook
from tm_ansible.engine.warm.messages import MESSAGE_BYTES, Start

# Time without a job after which the sessions of a run that waits for one are there for others.
_LEND_SECONDS = 0.05


class _Run(msgspec.Struct, frozen=True):
    command: list[str]
    environment: dict[str, str]
    directory: str
    token: str


class Playbook:
    """One run of ansible-playbook, in a process that is there already."""

    def __init__(
        self,
        keeper: Callable[[], Keeper],
        is_current: Callable[[], bool],
        not_its: Iterable[socket.socket] = (),
    ) -> None:
        """Fork the process.

        Args:
            keeper: gives one of sessions on hosts, for the process that calls it.
            is_current: tells whether what is loaded is what the disk has.
            not_its: what the process must not have.
        """
        self._is_loaded = is_current
        self._token = ""
        self._options = RunOptions()
        self._inputs: list[inputs.State] = []
        self._lock = threading.Lock()
        self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            for each in (self._socket, *not_its):
                each.close()
            forked.work(lambda: _serve(far, keeper))
        far.close()
        self._pidfd = open_end(self._pid)

    def enter(self, request: Start) -> None:
        """Have the process be one of a run, and return when it is: by its marker it is found."""
        with contextlib.suppress(OSError):  # a process that has died is told of by ``run``
            self._socket.send(msgspec.json.encode(request))
            self._socket.recv(1)

    def stay(self, job: Job) -> str:
        """Have the process stay when it has carried out a job; see ``runner.Playbook``."""
        self._token = secrets.token_hex(16)
        self._options = job.options
        self._inputs = inputs.state(job.options)
        return self._token

    def is_current(self) -> bool:
        """Tell whether site and content are as they were when the run began, and it lives."""
        if is_readable(self._pidfd, 0):
            return False
        return self._is_loaded() and inputs.state(self._options) == self._inputs

    def go_on(self, job: Job) -> None:
        """Have the process carry out another job."""
        message = msgspec.json.encode(job.actions[0].variables)
        with self._lock, contextlib.suppress(OSError):  # the end of the process is told of
            self._socket.send(message)

    def dismiss(self) -> None:
        """Have the process end."""
        with self._lock:
            self._socket.close()

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], check: bool, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run ansible-playbook; an environment that is not ours gets a new process.

        Args:
            command: its command line.
            env: all its variables.
            check: whether an exit status but 0 is an error.
            **options: of ``subprocess.run``.

        Returns:
            as ``subprocess.run``.

        Raises:
            CalledProcessError: as ``subprocess.run``.
        """
        status = self._run(command, env, options)
        if status is None:
            return subprocess.run(command, env=env, check=check, **options)
        if check and status:
            raise subprocess.CalledProcessError(status, command)
        return subprocess.CompletedProcess(command, status)

    def _run(
        self, command: Sequence[str], environment: Mapping[str, str], options: Mapping[str, Any]
    ) -> int | None:
        """Return the exit status; None if nothing was begun."""
        if playbook.differs(environment):
            self._end()
            return None
        run = _Run(list(command), dict(environment), str(options["cwd"]), self._token)
        descriptors = [options[name] for name in ("stdin", "stdout", "stderr")]
        try:
            socket.send_fds(self._socket, [msgspec.json.encode(run)], descriptors)
        except OSError:
            self._end()
            return None
        return self._wait() if self._token else self._end()

    def _end(self) -> int:
        self.dismiss()
        return self._wait()

    def _wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


class _Feeder(feeding.Feeder):  # type: ignore[misc]
    """Asks the worker for the next job."""

    def __init__(self, control: socket.socket, token: str) -> None:
        self._control = control
        self._owner = os.getpid()
        self.token = token

    def next(self) -> dict[str, Value] | None:
        """Wait for its variables; see ``feeding.Feeder``.

        Meanwhile other runs may use the sessions on hosts.
        """
        if not is_readable(self._control.fileno(), _LEND_SECONDS):
            sessions.leave()
        message = self._control.recv(MESSAGE_BYTES)
        return dict(msgspec.json.decode(message)) if message else None

    def tell(self, message: str) -> None:
        """Print it as it is: ansible-runner takes any line for an event, and needs no files for it.

        A process that Ansible has forked may not print.
        """
        if os.getpid() == self._owner:
            # On a line of its own, whatever stands before it.
            print(f"\n{message}", flush=True)  # noqa: T201 - that is how its output is heard
        else:
            super().tell(message)


def _serve(control: socket.socket, keeper: Callable[[], Keeper]) -> int:
    """Wait for the command line, and run it; return the exit status."""
    _enter(control)
    message, descriptors, _flags, _address = socket.recv_fds(control, MESSAGE_BYTES, 3)
    if not message:
        return 0
    forked.take_streams(descriptors)
    run = msgspec.json.decode(message, type=_Run)
    if run.token:
        feeding.feed_from(_Feeder(control, run.token))
    else:
        control.close()
    os.chdir(run.directory)
    sessions.keep_with(keeper())
    status = playbook.run(run.command, run.environment)
    if status == 0:
        sessions.leave()
    return status


def _enter(control: socket.socket) -> None:
    """Wait for the run, and be one of its processes."""
    if request := control.recv(MESSAGE_BYTES):
        identity.join(msgspec.json.decode(request, type=Start))
        control.send(b"\1")
