"""Decides what runs when: so many at a time, a VM's in order, and so many on each host."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

_log = logging.getLogger(__name__)


class Work(Protocol):
    """Something to do for a VM. It looks after its own errors and its own answer."""

    def run(self) -> None:
        """Do it; return when it is over, proven so."""

    def cancel(self) -> None:
        """Make sure that it does not answer and is over soon, run or not; returns at once."""

    def wait_for(self, host: str, running: int) -> None:
        """Take note that so many others keep it from a host; called once, returns at once."""


@dataclass(slots=True, eq=False)
class _Item:
    """Work that was submitted."""

    vm_id: int
    work: Work
    hosts: frozenset[str]
    told: bool = False


class Schedule:
    """Runs work in threads: first come, first served, but never two of one VM at once.

    Work that needs a slot on hosts starts when all of them have one free. What waits for a host
    takes no slot, and lets others pass that need other hosts. The oldest that waits keeps a slot
    free for itself on each of its hosts: work that needs several is not passed by for ever.
    """

    def __init__(self, limit: int, slots: Callable[[str], int] = lambda _host: 0) -> None:
        """Start with nothing to do.

        Args:
            limit: how much may run at a time.
            slots: tells how much may run at a time on a host; 0 for no limit.
        """
        self._limit = limit
        self._slots = slots
        self._changed = threading.Condition()
        self._waiting: deque[_Item] = deque()
        self._running: dict[int, _Item] = {}
        self._busy: Counter[str] = Counter()
        self._threads = 0
        self._closed = False

    def submit(self, vm_id: int, work: Work, hosts: Collection[str] = ()) -> None:
        """Take work that starts when it has its slots and nothing older of its VM is left.

        Args:
            vm_id: the VM it belongs to.
            work: what to do.
            hosts: on which it needs a slot.

        Raises:
            RuntimeError: the system allows no thread and none of ours is there to serve it.
        """
        limited = frozenset(host for host in hosts if self._slots(host))
        with self._changed:
            if self._closed:
                return
            item = _Item(vm_id, work, limited)
            self._waiting.append(item)
            try:
                self._add_thread()
            except RuntimeError:
                if not self._threads:
                    self._waiting.remove(item)
                    raise

    def cancel(self, vm_id: int) -> int:
        """Drop what waits for a VM and cancel what runs; younger work waits for its end.

        Args:
            vm_id: the VM.

        Returns:
            How many pieces of work were cancelled.
        """
        with self._changed:
            items = [item for item in self._waiting if item.vm_id == vm_id]
            self._waiting = deque(item for item in self._waiting if item.vm_id != vm_id)
            items += [self._running[vm_id]] if vm_id in self._running else []
            self._add_helper()  # what was dropped may have kept slots free for itself
        for item in items:
            item.work.cancel()
        return len(items)

    def close(self, timeout: float) -> bool:
        """Cancel everything, take nothing more, and wait for the end.

        Args:
            timeout: longest wait in seconds.

        Returns:
            Whether everything has ended.
        """
        with self._changed:
            self._closed = True
            vm_ids = {item.vm_id for item in self._waiting} | set(self._running)
        deadline = time.monotonic() + timeout
        for vm_id in vm_ids:
            self.cancel(vm_id)
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._threads, max(0, deadline - time.monotonic())
            )

    def _add_thread(self) -> None:
        if self._threads < self._limit:
            threading.Thread(target=self._serve, name="slot", daemon=True).start()
            self._threads += 1

    def _add_helper(self) -> None:
        """Have one more look for work: an end may have made more than one piece ready."""
        if not self._waiting:
            return
        try:
            self._add_thread()
        except RuntimeError as error:
            _log.warning("no more threads: %s", error)

    def _serve(self) -> None:
        """Do one piece of work after the other; end when nothing is ready.

        Whoever ends a piece takes the next that is ready, which that end may have made so, and
        calls a helper for others; therefore no work is left behind by a thread that found none.
        """
        while item := self._take():
            try:
                item.work.run()
            except Exception:
                _log.exception("VM %d: the driver made an error", item.vm_id)
            with self._changed:
                del self._running[item.vm_id]
                self._busy -= Counter(item.hosts)

    def _take(self) -> _Item | None:
        with self._changed:
            item = self._first_ready()
            if item is None:
                self._threads -= 1
                self._changed.notify_all()
                return None
            self._waiting.remove(item)
            self._running[item.vm_id] = item
            self._busy += Counter(item.hosts)
            self._add_helper()
            return item

    def _first_ready(self) -> _Item | None:
        """Find the oldest piece that may start; tell those before it what they wait for."""
        kept: Counter[str] = Counter()
        vm_ids = set(self._running)
        for item in self._waiting:
            if item.vm_id in vm_ids:
                continue
            vm_ids.add(item.vm_id)
            taken = self._busy + kept
            full = [host for host in item.hosts if taken[host] >= self._slots(host)]
            if not full:
                return item
            if not kept:
                kept.update(item.hosts)
            self._tell(item, full)
        return None

    def _tell(self, item: _Item, full: Collection[str]) -> None:
        if not item.told:
            item.told = True
            host = max(full, key=lambda host: self._busy[host])
            item.work.wait_for(host, self._busy[host])
