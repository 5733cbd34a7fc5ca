"""Sessions on hosts that outlive a run: the next one need not log in and start a Python there.

The server keeps them for a few seconds; processes of ansible-playbook ask it by a socket, on which
each message is one JSON object, with the descriptors of a session.
"""

import contextlib
import os
import signal
import socket
import time
from typing import NamedTuple

import msgspec
from ansible_collections.one.tm.plugins.plugin_utils.kept import Kept

from tm_ansible.engine import marked
from tm_ansible.engine.child import close_all, is_readable

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
        self._owner = os.getpid()
        self._marker = marker

    @property
    def environment(self) -> dict[str, str]:
        """Give the marker of the server, as long as it can be told of sessions that bear it."""
        return {marked.VARIABLE: self._marker} if self._is_usable() else {}

    def take(self, connection: str) -> Kept | None:
        """Ask for a session."""
        if not self._is_usable():
            return None
        try:
            _send(self._control, _Message(take=connection))
            message, descriptors = _receive(self._control)
        except (OSError, EOFError):
            self._control.close()  # its next answer would be to this question
            return None
        if message.kept and len(descriptors) == _DESCRIPTORS:
            return message.kept._replace(descriptors=descriptors)
        close_all(descriptors)
        return None

    def made(self, pid: int) -> bool:
        """Tell of a new session."""
        if not self._is_usable():
            return False
        try:
            end = os.pidfd_open(pid)
            try:
                _send(self._control, _Message(made=pid), [end])
            finally:
                os.close(end)
        except OSError:
            return False
        return True

    def keep(self, kept: Kept) -> None:
        """Give a session back."""
        if self._is_usable():
            with contextlib.suppress(OSError):
                _send(self._control, _Message(kept=kept), kept.descriptors)

    def _is_usable(self) -> bool:
        """Tell whether this process may ask: a fork would get what another has asked for."""
        return self._owner == os.getpid() and self._control.fileno() >= 0


class _Idle(NamedTuple):
    kept: Kept
    since: float


class Store:
    """What the server keeps, and what it has lent."""

    def __init__(self, seconds: float) -> None:
        """Begin with nothing.

        Args:
            seconds: how long a session stays that nobody uses.
        """
        self._seconds = seconds
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
        return max(0.0, 1000 * (self._idle[0].since + self._seconds - time.monotonic()))

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
            self._answer(message, descriptors, self._lent.setdefault(borrower, {}), control)
        except (OSError, EOFError):
            return False
        return True

    def _answer(
        self,
        message: _Message,
        descriptors: list[int],
        lent: dict[int, int],
        control: socket.socket,
    ) -> None:
        if message.take is not None:
            self._lend(message.take, lent, control)
        elif message.made is not None and descriptors:
            lent[message.made] = descriptors[0]
        elif message.kept and message.kept.pid in lent and len(descriptors) == _DESCRIPTORS:
            os.close(lent.pop(message.kept.pid))
            self._put(message.kept._replace(descriptors=descriptors))
        else:
            close_all(descriptors)

    def ended(self, borrower: int) -> None:
        """End what a worker had and has not given back: it has ended."""
        for pid, end in self._lent.pop(borrower, {}).items():
            _end(pid, end)
            os.close(end)

    def expire(self) -> None:
        """End what nobody has wanted for too long."""
        while self._idle and self._idle[0].since + self._seconds <= time.monotonic():
            _drop(self._idle.pop(0).kept)

    def close(self) -> None:
        """Keep nothing any more; what is lent is still looked after."""
        self._seconds = 0
        self.expire()

    def _lend(self, connection: str, lent: dict[int, int], control: socket.socket) -> None:
        kept = self._find(connection)
        if kept is None:
            _send(control, _Message())
            return
        *shared, lent[kept.pid] = kept.descriptors
        try:
            _send(control, _Message(kept=kept), kept.descriptors)
        finally:
            close_all(shared)

    def _find(self, connection: str) -> Kept | None:
        """Take out the newest that is alive."""
        for idle in reversed(self._idle):
            if idle.kept.connection == connection:
                self._idle.remove(idle)
                if not is_readable(idle.kept.descriptors[3], 0):
                    return idle.kept
                _drop(idle.kept)
        return None

    def _put(self, kept: Kept) -> None:
        """Keep a session; where there are too many, the oldest gives way."""
        same = [idle for idle in self._idle if idle.kept.connection == kept.connection]
        if not self._seconds:
            _drop(kept)
            return
        for many, most in ((same, MOST_OF_A_CONNECTION), (self._idle, MOST)):
            if len(many) >= most:
                self._idle.remove(many[0])
                _drop(many[0].kept)
                break
        self._idle.append(_Idle(kept, time.monotonic()))


def _drop(kept: Kept) -> None:
    _end(kept.pid, kept.descriptors[3])
    close_all(kept.descriptors)


def _end(pid: int, end: int) -> None:
    """Kill a process and its group, and wait for its death."""
    if not is_readable(end, 0):
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    is_readable(end, _DEATH_SECONDS)


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
