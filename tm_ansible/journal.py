"""Remembers which transfers are owed an answer, across the death of the driver.

Each driver process has a file of its own (``journal_file`` knows what is in it), locked as long as
it lives. A driver that starts takes over what dead ones of its name have left: no two ever share a
file, and a second driver of the same name disturbs nobody. The token in the file's name is also
the beginning of the markers of the driver's runs, so that the heir finds their processes.

Lines are appended by single writes and not flushed to disk: they outlive the process, and a
machine that goes down takes oned with it.
"""

import logging
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tm_ansible import journal_file

_log = logging.getLogger(__name__)
# Lines after which the file is written anew with only what is still owed.
_COMPACT_AFTER = 4096


class Journal:
    """The journal of this process. Threads may share it."""

    def __init__(self, directory: Path, name: str) -> None:
        """Create the file; without one, warn and only count, until it can be made.

        Args:
            directory: where drivers of this name keep their journals.
            name: the driver's name.
        """
        self._directory = directory
        self._name = name
        self.token = f"{name}.{secrets.token_hex(6)}"
        self.path = directory / f".{self.token}.journal"
        self._lock = threading.Lock()
        self._owed: Counter[int] = Counter()
        self._lines = 0
        self._kept = self._closed = False
        # Tokens of journals that others have taken over, and could not remove before they died.
        self._taken: set[str] = set()
        self._file: int | None = None
        try:
            self._file = journal_file.create(self.path)
        except OSError as error:
            self._warn(error)

    def accept(self, vm_id: int) -> None:
        """Note that a VM is owed one answer more."""
        self._note(b"+", vm_id, 1)

    def settle(self, vm_id: int) -> None:
        """Note that one answer was given."""
        self._note(b"-", vm_id, -1)

    def waive(self, vm_id: int) -> None:
        """Note that one answer is no longer wanted; without effect behind ``keep``."""
        with self._lock:
            kept = self._kept
        if not kept:
            self.settle(vm_id)

    def keep(self) -> None:
        """Keep for the heir what is owed from now on, whatever ends it, unless it is answered."""
        with self._lock:
            self._kept = True

    def close(self) -> None:
        """Take no more notes. What is owed is the heir's now; a file that owes nothing goes."""
        with self._lock:
            self._closed = True
            if not self._owed and self._file is not None:
                journal_file.remove(self.path)
            self._change_file(None)

    def take_over(self, legacy: "Legacy") -> bool:
        """Owe what a dead driver has owed, and remove its journal.

        Args:
            legacy: what it left. Whenever this process dies, only one of the two journals counts.

        Returns:
            False if this journal is closed: the next heir is to do so.
        """
        text = b"".join(b"+%d\n" % vm_id for vm_id in legacy.owed)
        with self._lock:
            if self._closed:
                return False
            try:
                file = self._write_anew() if self._file is None else self._file
                journal_file.write(file, b"%s@%s\n" % (text, legacy.token.encode()))
            except OSError as error:
                self._give_up(error)
            self._owed.update(legacy.owed)
            self._lines += len(legacy.owed) + 1
            legacy.discard()
            return True

    def legacies(self, *, wait_for: Path | None = None) -> Iterable["Legacy"]:
        """Take over the journals of drivers of this name that are dead.

        Args:
            wait_for: only this one, as soon as its driver has ended.

        Yields:
            Each one, locked until the next is asked for.
        """
        paths = [wait_for] if wait_for else self.others()
        for path in paths:
            file = journal_file.lock(path, wait=wait_for is not None)
            if file is None:
                continue
            try:
                legacy = Legacy(path, journal_file.token(path), journal_file.read(file))
                self._taken.update(*map(journal_file.taken_by, [path, *self.others()]))
                if legacy.token in self._taken:
                    legacy.discard()
                else:
                    yield legacy
            finally:
                journal_file.close(file)

    def others(self) -> list[Path]:
        """List the journals of other drivers of this name, dead or alive."""
        pattern = re.compile(rf"\.{re.escape(self._name)}\.[0-9a-f]{{12}}\.journal")
        try:
            paths = sorted(self._directory.iterdir())
        except OSError:
            return []
        return [path for path in paths if pattern.fullmatch(path.name) and path != self.path]

    def _note(self, sign: bytes, vm_id: int, change: int) -> None:
        with self._lock:
            if self._closed:
                return
            self._owed[vm_id] += change
            if self._owed[vm_id] <= 0:
                del self._owed[vm_id]
            try:
                if self._file is not None:
                    self._append(self._file, b"%s%d\n" % (sign, vm_id))
                elif change > 0:
                    self._write_anew()
            except OSError as error:
                self._give_up(error)

    def _append(self, file: int, line: bytes) -> None:
        self._lines += 1
        if not self._owed:
            os.ftruncate(file, 0)
            self._lines = 0
        elif self._lines > _COMPACT_AFTER + 2 * self._owed.total():
            self._write_anew()
        else:
            journal_file.write(file, line)

    def _write_anew(self) -> int:
        """Have a file of what is owed alone, which is locked before it takes the name; give it."""
        fresh_path = journal_file.fresh(self.path)
        fresh = journal_file.create(fresh_path)
        text = b"".join(b"+%d\n" % vm_id * count for vm_id, count in self._owed.items())
        try:
            journal_file.write(fresh, text)
            fresh_path.replace(self.path)
        except OSError:
            journal_file.close(fresh)
            journal_file.remove(fresh_path)
            raise
        self._change_file(fresh)
        self._lines = self._owed.total()
        return fresh

    def _give_up(self, error: OSError) -> None:
        """Have no file; the next note of an answer that is owed tries to make one."""
        if self._file is not None:
            journal_file.remove(self.path)  # an heir would believe what it says
            self._change_file(None)
            self._warn(error)

    def _change_file(self, file: int | None) -> None:
        """Have another file; never again the number of one that was closed."""
        former, self._file = self._file, file
        if former is not None:
            journal_file.close(former)

    def _warn(self, error: OSError) -> None:
        _log.warning(
            "no journal, so a killed driver's transfers stay unanswered: make %s writable (%s)",
            self._directory,
            error.strerror,
        )


@dataclass(frozen=True, slots=True)
class Legacy:
    """What a dead driver left.

    Attributes:
        path: its journal.
        token: the beginning of its runs' markers.
        owed: a VM's number for each answer that is owed.
    """

    path: Path
    token: str
    owed: tuple[int, ...]

    def discard(self) -> None:
        """Remove the journal, once what it says is noted elsewhere."""
        journal_file.remove(self.path)
        journal_file.remove(journal_file.fresh(self.path))
