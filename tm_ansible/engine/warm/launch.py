"""A process that waits for ansible-playbook's command line, forked before there are threads."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from ansible_collections.one.tm.plugins.plugin_utils import sessions
from ansible_collections.one.tm.plugins.plugin_utils.kept import Keeper

from tm_ansible.engine.warm import forked, identity, playbook
from tm_ansible.engine.warm.messages import MESSAGE_BYTES, Start


class _Run(msgspec.Struct, frozen=True):
    command: list[str]
    environment: dict[str, str]
    directory: str


class Playbook:
    """One run of ansible-playbook, in a process that is there already."""

    def __init__(self, keeper: Callable[[], Keeper], not_its: Iterable[socket.socket] = ()) -> None:
        """Fork the process.

        Args:
            keeper: gives one of sessions on hosts, for the process that calls it.
            not_its: what the process must not have.
        """
        self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            for each in (self._socket, *not_its):
                each.close()
            forked.work(lambda: _serve(far, keeper))
        far.close()

    def enter(self, request: Start) -> None:
        """Have the process be one of a run, and return when it is: by its marker it is found."""
        with contextlib.suppress(OSError):  # a process that has died is told of by ``run``
            self._socket.send(msgspec.json.encode(request))
            self._socket.recv(1)

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
        run = _Run(list(command), dict(environment), str(options["cwd"]))
        descriptors = [options[name] for name in ("stdin", "stdout", "stderr")]
        try:
            socket.send_fds(self._socket, [msgspec.json.encode(run)], descriptors)
        except OSError:
            self._end()
            return None
        return self._end()

    def _end(self) -> int:
        self._socket.close()
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def _serve(control: socket.socket, keeper: Callable[[], Keeper]) -> int:
    """Wait for the command line, and run it; return the exit status."""
    _enter(control)
    message, descriptors, _flags, _address = socket.recv_fds(control, MESSAGE_BYTES, 3)
    control.close()
    if not message:
        return 0
    forked.take_streams(descriptors)
    run = msgspec.json.decode(message, type=_Run)
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
