"""Sessions on hosts that outlive a run: the next one need not log in and start a Python there.

The server keeps them for a few seconds; processes of ansible-playbook ask it by a socket, on which
each message is one JSON object, with the descriptors of a session.
"""

import contextlib
import os
import select
import signal
import socket
import time
from typing import NamedTuple

import msgspec
from ansible_collections.one.tm.plugins.plugin_utils.kept import Kept

from tm_ansible.engine import marked

# Seconds that a session nobody uses stays: five after a run nothing of it may be left.
KEPT_SECONDS = 4.0
# sshd allows ten on one connection (``MaxSessions``).
MOST_OF_A_CONNECTION = 4
MOST = 64
_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS = 4
_DEATH_SECONDS = 1.0
# The server may be about to fork, which takes a tenth of it.
_ANSWER_SECONDS = 1.0


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said: one of the fields alone, or nothing for «there is none»."""

    take: str | None = None
    made: int | None = None
    kept: Kept | None = None


class RemoteKeeper:
    """A ``Keeper`` that asks the server, from a process that it or its worker has forked."""

    def __init__(self, control: socket.socket, marker: str) -> None:
        """Take the socket.

        Args:
            control: leads to the server.
            marker: of the server, which what it keeps has to bear.
        """
        self._control = control
        self._control.settimeout(_ANSWER_SECONDS)
        self.environment = {marked.VARIABLE: marker}

    def take(self, connection: str) -> Kept | None:
        """Ask for a session."""
        try:
            _send(self._control, _Message(take=connection))
            message, descriptors = _receive(self._control)
        except (OSError, EOFError):
            return None
        return message.kept._replace(descriptors=descriptors) if message.kept else None

    def made(self, pid: int) -> None:
        """Tell of a new session."""
        with contextlib.suppress(OSError):
            end = os.pidfd_open(pid)
            try:
                _send(self._control, _Message(made=pid), [end])
            finally:
                os.close(end)

    def keep(self, kept: Kept) -> None:
        """Give a session back."""
        with contextlib.suppress(OSError):
            _send(self._control, _Message(kept=kept), kept.descriptors)


class _Idle(NamedTuple):
    kept: Kept
    since: float


class Store:
    """What the server keeps, and what it has lent."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._idle: list[_Idle] = []
        self._lent: dict[int, dict[int, int]] = {}

    @property
    def descriptors(self) -> list[int]:
        """List the descriptors that a fork must not have."""
        lent = [end for ends in self._lent.values() for end in ends.values()]
        return [*lent, *(each for idle in self._idle for each in idle.kept.descriptors)]

    @property
    def patience_ms(self) -> float | None:
        """Tell in how many milliseconds ``expire`` has something to do; None if never."""
        if not self._idle:
            return None
        return max(0.0, 1000 * (self._idle[0].since + KEPT_SECONDS - time.monotonic()))

    def serve(self, borrower: int, control: socket.socket) -> bool:
        """Answer one message.

        Args:
            borrower: process id of the worker whose run asks.
            control: leads to it.

        Returns:
            whether there may be more.
        """
        try:
            message, descriptors = _receive(control)
        except (OSError, EOFError):
            return False
        lent = self._lent.setdefault(borrower, {})
        if message.take is not None:
            self._lend(message.take, lent, control)
        elif message.made is not None:
            lent[message.made] = descriptors[0]
        elif message.kept:
            _close([lent.pop(message.kept.pid)])
            self._put(message.kept._replace(descriptors=descriptors))
        return True

    def ended(self, borrower: int) -> None:
        """End what a worker had and has not given back: it has ended."""
        for end in self._lent.pop(borrower, {}).values():
            _end(end)
            os.close(end)

    def expire(self, seconds: float = KEPT_SECONDS) -> None:
        """End what nobody has wanted for a time.

        Args:
            seconds: that time.
        """
        while self._idle and self._idle[0].since + seconds <= time.monotonic():
            _drop(self._idle.pop(0).kept)

    def _lend(self, connection: str, lent: dict[int, int], control: socket.socket) -> None:
        kept = self._find(connection)
        if kept is None:
            _send(control, _Message())
            return
        lent[kept.pid] = os.dup(kept.descriptors[3])
        with contextlib.suppress(OSError):
            _send(control, _Message(kept=kept), kept.descriptors)
        _close(kept.descriptors)

    def _find(self, connection: str) -> Kept | None:
        """Take out the newest that is alive."""
        for idle in reversed(self._idle):
            if idle.kept.connection == connection:
                self._idle.remove(idle)
                if not _has_ended(idle.kept.descriptors[3]):
                    return idle.kept
                _drop(idle.kept)
        return None

    def _put(self, kept: Kept) -> None:
        same = [idle for idle in self._idle if idle.kept.connection == kept.connection]
        if len(same) >= MOST_OF_A_CONNECTION or len(self._idle) >= MOST:
            _drop(kept)
        else:
            self._idle.append(_Idle(kept, time.monotonic()))


def _drop(kept: Kept) -> None:
    _end(kept.descriptors[3])
    _close(kept.descriptors)


def _end(end: int) -> None:
    """Kill a process and wait for its death."""
    with contextlib.suppress(OSError):
        signal.pidfd_send_signal(end, signal.SIGKILL)
    select.select([end], [], [], _DEATH_SECONDS)


def _has_ended(end: int) -> bool:
    return bool(select.select([end], [], [], 0)[0])


def _send(control: socket.socket, message: _Message, descriptors: list[int] | None = None) -> None:
    data = msgspec.json.encode(message)
    if descriptors:
        socket.send_fds(control, [data], descriptors)
    else:
        control.send(data)


def _receive(control: socket.socket) -> tuple[_Message, list[int]]:
    data, descriptors, _flags, _address = socket.recv_fds(control, _MESSAGE_BYTES, _DESCRIPTORS)
    if not data:
        raise EOFError
    return msgspec.json.decode(data, type=_Message), descriptors


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
