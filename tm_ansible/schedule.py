"""Decides what runs when: so many at a time, and the work on one VM in order."""

import logging
import threading
import time
from collections import deque
from typing import Protocol

_log = logging.getLogger(__name__)


class Work(Protocol):
    """Something to do for a VM. It looks after its own errors and its own answer."""

    def run(self) -> None:
        """Do it; return when it is over, proven so."""

    def cancel(self) -> None:
        """Make sure that it does not answer and is over soon, run or not; returns at once."""


class Schedule:
    """Runs work in threads: first come, first served, but never two of one VM at once."""

    def __init__(self, limit: int) -> None:
        """Start with nothing to do.

        Args:
            limit: how many may run at a time.
        """
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Work]] = deque()
        self._running: dict[int, Work] = {}
        self._threads = 0
        self._closed = False

    def submit(self, vm_id: int, work: Work) -> None:
        """Take work that starts when a slot is free and nothing older of its VM is left.

        Args:
            vm_id: the VM it belongs to.
            work: what to do.

        Raises:
            RuntimeError: the system allows no thread and none of ours is there to serve it.
        """
        with self._changed:
            if self._closed:
                return
            self._waiting.append((vm_id, work))
            if self._threads < self._limit:
                self._add_thread()

    def cancel(self, vm_id: int) -> int:
        """Drop what waits for a VM and cancel what runs; younger work waits for its end.

        Args:
            vm_id: the VM.

        Returns:
            How many pieces of work were cancelled.
        """
        with self._changed:
            works = [work for number, work in self._waiting if number == vm_id]
            self._waiting = deque(item for item in self._waiting if item[0] != vm_id)
            works += [self._running[vm_id]] if vm_id in self._running else []
        for work in works:
            work.cancel()
        return len(works)

    def close(self, timeout: float) -> bool:
        """Cancel everything, take nothing more, and wait for the end.

        Args:
            timeout: longest wait in seconds.

        Returns:
            Whether everything has ended.
        """
        with self._changed:
            self._closed = True
            vm_ids = {vm_id for vm_id, _ in self._waiting} | set(self._running)
        deadline = time.monotonic() + timeout
        for vm_id in vm_ids:
            self.cancel(vm_id)
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._threads, max(0, deadline - time.monotonic())
            )

    def _add_thread(self) -> None:
        self._threads += 1
        try:
            threading.Thread(target=self._serve, name="slot", daemon=True).start()
        except RuntimeError:
            self._threads -= 1
            if not self._threads:
                self._waiting.pop()
                raise

    def _serve(self) -> None:
        """Do one piece of work after the other; end when nothing is ready.

        Whoever ends a VM's work takes the next that is ready, which that end may have made so;
        therefore no work is left behind by a thread that found none.
        """
        while item := self._take():
            vm_id, work = item
            try:
                work.run()
            except Exception:
                _log.exception("VM %d: the driver made an error", vm_id)
            with self._changed:
                del self._running[vm_id]

    def _take(self) -> tuple[int, Work] | None:
        with self._changed:
            for index, (vm_id, work) in enumerate(self._waiting):
                if vm_id not in self._running:
                    del self._waiting[index]
                    self._running[vm_id] = work
                    return vm_id, work
            self._threads -= 1
            self._changed.notify_all()
            return None
