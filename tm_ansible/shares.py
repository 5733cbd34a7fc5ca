"""How work is shared out among hosts: slots for copies, and a share of all slots."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

LOCAL = "localhost"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why work does not start.

    Attributes:
        host: what it waits for.
        running: how much is there.
        copies: whether the host's slots for copies are taken; else it has its share of all slots.
    """

    host: str
    running: int
    copies: bool


class Work(Protocol):
    """Something to do for a VM. It looks after its own errors and its own answer."""

    def run(self) -> None:
        """Do it; return when it is over, proven so."""

    def cancel(self) -> None:
        """Make sure that it does not answer and is over soon, run or not; returns at once."""

    def wait_for(self, obstacle: Obstacle) -> None:
        """Take note of what keeps it from starting; called once, returns at once."""


@dataclass(slots=True, eq=False)
class Item:
    """Work that was submitted.

    Attributes:
        vm_id: the VM it belongs to.
        work: what to do.
        copies: hosts on which it needs a slot for copies.
        hosts: on which it is at work.
        told: whether it was told that it waits for a host.
        copied: hosts on which a slot for copies came free while it waits.
        served: hosts on which something ended while it waits.
    """

    vm_id: int
    work: Work
    copies: frozenset[str]
    hosts: frozenset[str]
    told: bool = False
    copied: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)

    def note_end(self, other: "Item") -> None:
        """Take note of what came to an end while this waits."""
        self.copied |= other.copies
        self.served |= other.hosts


class Shares:
    """What is at work on each host, and what may come to it.

    A copy needs one of the slots for copies of each of its hosts. And no host takes more of all
    slots than it leaves free («dynamic threshold», Choudhury and Hahne, 1998): one that never
    answers gets half of them, a second one half of the rest, and the last slot goes only to a host
    where nothing is at work.
    """

    def __init__(self, limit: int, slots: Callable[[str], int]) -> None:
        """Begin with nothing at work.

        Args:
            limit: how much may be at work in all.
            slots: tells how much may copy to or from a host at a time; 0 for no limit.
        """
        self._slots = slots
        self._free = limit
        self._copying: Counter[str] = Counter()
        self._at_work: Counter[str] = Counter()

    def add(self, item: Item) -> None:
        """Count a piece that starts."""
        self._free -= 1
        self._copying.update(item.copies)
        self._at_work.update(item.hosts)

    def remove(self, item: Item) -> None:
        """Count it no more."""
        self._free += 1
        self._copying -= Counter(item.copies)
        self._at_work -= Counter(item.hosts)

    def obstacle(self, item: Item, first: Item | None) -> Obstacle | None:
        """Tell what keeps a piece from starting; None if nothing does.

        Args:
            item: what is to start.
            first: an older one for which slots are kept. It counts as if it were on each of its
                hosts but the front-end: work that needs several is not passed by for ever.
        """
        if full := self._full(item, first):
            host = max(full, key=self._copying.__getitem__)
            return Obstacle(host, self._copying[host], copies=True)
        if large := self._large(item, first):
            host = max(large, key=self._at_work.__getitem__)
            return Obstacle(host, self._at_work[host], copies=False)
        return None

    def keeps_for(self, item: Item) -> bool:
        """Tell whether slots are kept for a piece that waits.

        They are if each host that it waits for has ended something meanwhile: one that never
        answers must not keep slots of other hosts free.
        """
        full, large = self._full(item, None), self._large(item, None)
        return item.copied.issuperset(full) and item.served.issuperset(large)

    def _full(self, item: Item, first: Item | None) -> list[str]:
        # Not on the front-end: with its other hosts kept, the oldest gets the next slot there.
        kept = first.copies - {LOCAL} if first else frozenset()
        return [
            host
            for host in item.copies
            if 0 < self._slots(host) <= self._copying[host] + (host in kept)
        ]

    def _large(self, item: Item, first: Item | None) -> list[str]:
        kept = first.hosts if first else frozenset()
        return [host for host in item.hosts if self._at_work[host] + (host in kept) >= self._free]
