"""Settles what earlier drivers of the same name have left unanswered and running."""

import logging
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from tm_ansible.engine.holdings import end_orphans
from tm_ansible.journal import Legacy
from tm_ansible.protocol import render_reply
from tm_ansible.transfer import Office

_log = logging.getLogger(__name__)
_RESTARTED = "the driver was restarted while this transfer ran"


class Heir:
    """Takes over from dead drivers at once, and from living ones when they end.

    A predecessor that was told to end may still be at it when its successor starts.
    """

    def __init__(self, office: Office, environment: Mapping[str, str]) -> None:
        """Know where to turn to.

        Args:
            office: takes what is owed over, and answers.
            environment: of runs; it says where temporary files are.
        """
        self._office = office
        self._environment = environment
        # Journals of drivers that still live.
        self._awaited: set[Path] = set()
        # VMs of which oned has spoken since: it waits for no answer of a predecessor any more.
        self._newer: set[int] = set()
        # Nothing is said between the look at that and the answer.
        self._lock = threading.Lock()

    def inherit(self) -> None:
        """Settle what dead drivers have left, and have threads wait for the end of living ones."""
        journal = self._office.journal
        self._take_over_all(journal.legacies())
        for path in journal.others():
            wait = threading.Thread(target=self._wait_for, args=(path,), name="heir", daemon=True)
            self._awaited.add(path)
            try:
                wait.start()
            except RuntimeError as error:
                self._awaited.discard(path)
                _log.warning("nobody waits for the end of the driver of %s: %s", path, error)

    def hear_of(self, vm_id: int) -> None:
        """Note that oned has asked for something anew: what a predecessor owes is overtaken.

        Args:
            vm_id: the VM it was about.
        """
        with self._lock:
            if self._awaited:
                self._newer.add(vm_id)
            self._office.writer.withdraw(vm_id, only_inherited=True)

    def _wait_for(self, path: Path) -> None:
        self._take_over_all(self._office.journal.legacies(wait_for=path))
        with self._lock:
            self._awaited.discard(path)
            if not self._awaited:
                self._newer.clear()

    def _take_over_all(self, legacies: Iterable[Legacy]) -> None:
        for legacy in legacies:
            left = end_orphans(legacy.token, self._environment)
            if left != []:
                _log.error("processes of an earlier driver that do not end: %s", left or "unknown")
            if self._office.journal.take_over(legacy):
                for vm_id in legacy.owed:
                    self._settle(vm_id)

    def _settle(self, vm_id: int) -> None:
        settled = partial(self._office.journal.settle, vm_id)
        with self._lock:
            if vm_id in self._newer:
                settled()
                return
            _log.warning("VM %d: %s", vm_id, _RESTARTED)
            reply = render_reply(vm_id, _RESTARTED)
            self._office.writer.answer(vm_id, reply, settled, is_inherited=True)
