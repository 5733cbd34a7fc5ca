"""Writes messages to oned from a thread of its own, so that a slow oned holds nothing up."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tm_ansible.engine.job import Severity
from tm_ansible.protocol import render_log

# Log lines that may wait for a slow oned, in bytes, for each of the two kinds below.
_LOG_BYTES = 4 * 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lane:
    """Messages that wait, each with its number in the order of all; at most ``limit`` bytes."""

    limit: float
    size: int = 0
    dropped: int = 0
    messages: deque[tuple[int, bytes]] = field(default_factory=deque)

    def put(self, number: int, message: bytes) -> None:
        self.messages.append((number, message))
        self.size += len(message)
        if self.size > self.limit:
            self._halve()

    def _halve(self) -> None:
        """Make room for a while, so that notes about it stay rare."""
        while self.size > self.limit / 2:
            self.take()
            self.dropped += 1

    def take(self) -> bytes:
        _, message = self.messages.popleft()
        self.size -= len(message)
        return message

    def withdraw(self, number: int) -> bool:
        """Take a message back; tell whether it still waited."""
        for waiting in self.messages:
            if waiting[0] == number:
                self.messages.remove(waiting)
                self.size -= len(waiting[1])
                return True
        return False


class _Answer(NamedTuple):
    """A reply that waits: for which VM, what to do once it is written, and whose debt it is."""

    vm_id: int
    settled: Callable[[], None]
    is_inherited: bool


class Writer:
    """Owns the descriptor that leads to oned.

    Replies are never dropped. When oned reads too slowly, the oldest log lines give way to newer
    ones, and a line says how many: routine lines among themselves, warnings and errors likewise.
    """

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        """Start the thread.

        Args:
            descriptor: a blocking descriptor.
            on_broken: called once when oned has closed its end, or nothing can be written for
                another reason.
        """
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._changed = threading.Condition()
        self._routine, self._serious = _Lane(_LOG_BYTES), _Lane(_LOG_BYTES)
        self._replies = _Lane(float("inf"))
        self._answers: dict[int, _Answer] = {}
        self._number = 0
        self._writing = False
        self._broken = False
        threading.Thread(target=self._serve, name="writer", daemon=True).start()

    def reply(self, message: bytes) -> None:
        """Queue a message that no log line is.

        Args:
            message: at most 4096 bytes, written at once.
        """
        with self._changed:
            self._put(self._replies, message)

    def answer(
        self, vm_id: int, message: bytes, settled: Callable[[], None], *, is_inherited: bool = False
    ) -> None:
        """Queue the reply to a transfer.

        Args:
            vm_id: for which it was.
            message: as for ``reply``.
            settled: called when oned can read the message, or when it is withdrawn.
            is_inherited: whether an earlier driver owes it.
        """
        with self._changed:
            if not self._broken:
                self._answers[self._number] = _Answer(vm_id, settled, is_inherited)
            self._put(self._replies, message)

    def withdraw(self, vm_id: int, *, only_inherited: bool = False) -> int:
        """Take replies to a VM's transfers back that oned was too slow to read.

        Args:
            vm_id: of the transfers, which were cancelled or overtaken meanwhile.
            only_inherited: whether only what earlier drivers owe is taken back.

        Returns:
            how many there were.
        """
        with self._changed:
            asked = [
                number
                for number, answer in self._answers.items()
                if answer.vm_id == vm_id and (answer.is_inherited or not only_inherited)
            ]
            numbers = [number for number in asked if self._replies.withdraw(number)]
            withdrawn = [self._answers.pop(number) for number in numbers]
            self._changed.notify_all()
        for answer in withdrawn:
            answer.settled()
        return len(withdrawn)

    def log(self, severity: Severity, vm_id: int, text: str) -> None:
        """Queue a log line; a long one becomes several.

        Args:
            severity: its severity; warnings and errors outlive others when oned is slow.
            vm_id: the VM, or -1 for oned's own log.
            text: any text.
        """
        serious = severity in (Severity.WARNING, Severity.ERROR)
        with self._changed:
            for message in render_log(severity, vm_id, text):
                self._put(self._serious if serious else self._routine, message)

    def flush(self, timeout: float) -> None:
        """Wait until everything queued is written.

        Args:
            timeout: longest wait in seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._broken or not self._pending(), timeout)

    def _put(self, lane: _Lane, message: bytes) -> None:
        if self._broken:
            return
        lane.put(self._number, message)
        self._number += 1
        self._changed.notify_all()

    def _pending(self) -> bool:
        return self._writing or any(lane.messages for lane in self._lanes())

    def _lanes(self) -> tuple[_Lane, ...]:
        return self._replies, self._serious, self._routine

    def _serve(self) -> None:
        try:
            while True:
                message, answer = self._next()
                self._write(message)
                if answer:
                    _settle(answer)
        except OSError:
            pass  # oned is gone
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """Have the driver end: nobody would hear of anything it does, nor of why."""
        with self._changed:
            self._broken = True
            for lane in self._lanes():
                lane.messages.clear()
            self._changed.notify_all()
        self._on_broken()

    def _next(self) -> tuple[bytes, _Answer | None]:
        """Wait for the oldest message; a note about dropped lines goes before it."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(self._pending)
            self._writing = True
            if dropped := self._count_dropped():
                text = f"{dropped} log lines dropped: they were not read fast enough"
                return render_log(Severity.WARNING, -1, text)[0], None
            lane = min((x for x in self._lanes() if x.messages), key=lambda x: x.messages[0][0])
            number = lane.messages[0][0]
            return lane.take(), self._answers.pop(number, None)

    def _count_dropped(self) -> int:
        dropped = sum(lane.dropped for lane in self._lanes())
        for lane in self._lanes():
            lane.dropped = 0
        return dropped

    def _write(self, message: bytes) -> None:
        """Write in one piece; Python itself repeats a write that a signal interrupts."""
        rest = memoryview(message)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _settle(answer: _Answer) -> None:
    """Note that a reply was written; what goes wrong there is no sign that oned is gone."""
    try:
        answer.settled()
    except Exception:
        _log.exception("VM %d: the driver made an error behind its reply", answer.vm_id)
