"""Decides what runs when: so many at a time, a VM's in order, and a share for each host."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from tm_ansible.shares import Item, Shares, Work

_log = logging.getLogger(__name__)


class Schedule:
    """Runs work in threads: first come, first served, but never two of one VM at once.

    What waits for a host (see ``Shares``) takes no slot, and lets others pass that need other ones.
    """

    def __init__(self, limit: int, slots: Callable[[str], int] = lambda _host: 0) -> None:
        """Start with nothing to do.

        Args:
            limit: how much may run at a time.
            slots: tells how much may copy to or from a host at a time; 0 for no limit.
        """
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: deque[Item] = deque()
        self._running: dict[int, Item] = {}
        self._shares = Shares(limit, slots)
        self._threads = 0
        self._closed = False

    def submit(
        self, vm_id: int, work: Work, copies: Collection[str] = (), hosts: Collection[str] = ()
    ) -> None:
        """Take work that starts when it has its slots and nothing older of its VM is left.

        Args:
            vm_id: the VM it belongs to.
            work: what to do.
            copies: hosts on which it needs a slot for copies.
            hosts: on which it is at work, and for which it may have to wait.

        Raises:
            RuntimeError: the system allows no thread and none of ours is there to serve it.
        """
        with self._changed:
            if self._closed:
                return
            item = Item(vm_id, work, frozenset(copies), frozenset(hosts))
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
            # At once: the end of one must not start another.
            items = [*self._waiting, *self._running.values()]
            self._waiting.clear()
        deadline = time.monotonic() + timeout
        for item in items:
            item.work.cancel()
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
                self._shares.remove(item)
                for each in self._waiting:
                    each.note_end(item)

    def _take(self) -> Item | None:
        with self._changed:
            item = self._first_ready()
            if item is None:
                self._threads -= 1
                self._changed.notify_all()
                return None
            self._waiting.remove(item)
            self._running[item.vm_id] = item
            self._shares.add(item)
            self._add_helper()
            return item

    def _first_ready(self) -> Item | None:
        """Find the oldest piece that may start; tell those before it what they wait for."""
        first: Item | None = None
        vm_ids = set(self._running)
        for item in self._waiting:
            if item.vm_id in vm_ids:
                continue
            vm_ids.add(item.vm_id)
            obstacle = self._shares.obstacle(item, first)
            if obstacle is None:
                return item
            if first is None and self._shares.keeps_for(item):
                first = item
            if not item.told:
                item.told = True
                item.work.wait_for(obstacle)
        return None
