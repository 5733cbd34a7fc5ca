"""Remembers which transfers are owed an answer, across the death of the driver.

Each driver process has a file of its own, ``<directory>/.<name>.<token>.journal``, locked as long
as it lives. A line ``+7`` says that VM 7 is owed one answer more, ``-7`` one less; any other line
is skipped. A driver that starts takes over what dead ones of its name have left: no two ever
share a file, and a second driver of the same name disturbs nobody. The token is also the
beginning of the markers of the driver's runs, so that the heir finds their processes.

Lines are appended by single writes and not flushed to disk: they outlive the process, and a
machine that goes down takes oned with it.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)
_LINE = re.compile(rb"([+-])(\d{1,18})")
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
        self._file: int | None = None
        try:
            self._file = _create(self.path)
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
            if self._file is None:
                return
            if not self._owed:
                _remove(self.path)
            os.close(self._file)
            self._file = None

    def legacies(self, *, wait_for: Path | None = None) -> Iterable["Legacy"]:
        """Take over the journals of drivers of this name that are dead.

        Args:
            wait_for: only this one, as soon as its driver has ended.

        Yields:
            Each one, locked until the next is asked for.
        """
        paths = [wait_for] if wait_for else self.others()
        for path in paths:
            file = _lock(path, wait=wait_for is not None)
            if file is None:
                continue
            try:
                yield Legacy(path, path.name[1 : -len(".journal")], _read(file))
            finally:
                os.close(file)

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
                    self._append(b"%s%d\n" % (sign, vm_id))
                elif change > 0:
                    self._write_anew()
            except OSError as error:
                self._give_up(error)

    def _append(self, line: bytes) -> None:
        assert self._file is not None  # noqa: S101 - for the type checker; callers look
        self._lines += 1
        if not self._owed:
            os.ftruncate(self._file, 0)
            self._lines = 0
        elif self._lines > _COMPACT_AFTER + 2 * self._owed.total():
            self._write_anew()
        else:
            _write(self._file, line)

    def _write_anew(self) -> None:
        """Have a file of what is owed alone, which is locked before it takes the name."""
        fresh_path = _fresh(self.path)
        fresh = _create(fresh_path)
        text = b"".join(b"+%d\n" % vm_id * count for vm_id, count in self._owed.items())
        try:
            _write(fresh, text)
            fresh_path.replace(self.path)
        except OSError:
            os.close(fresh)
            _remove(fresh_path)
            raise
        if self._file is not None:
            os.close(self._file)
        self._file = fresh
        self._lines = self._owed.total()

    def _give_up(self, error: OSError) -> None:
        """Have no file; the next note of an answer that is owed tries to make one."""
        if self._file is not None:
            _remove(self.path)  # an heir would believe what it says
            os.close(self._file)
            self._file = None
            self._warn(error)

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
        _remove(self.path)
        _remove(_fresh(self.path))


def _fresh(path: Path) -> Path:
    """Name the file that is to take a journal's place."""
    return path.with_suffix(".new")


def _create(path: Path) -> int:
    flags = os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        _remove(path)
        raise
    return file


def _write(file: int, text: bytes) -> None:
    """Write all or nothing that counts: a full disk may take a part."""
    if os.write(file, text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove(path: Path) -> None:
    """Remove a file if that can be done: what a journal is kept for never fails for it."""
    with contextlib.suppress(OSError):
        path.unlink()


def _lock(path: Path, *, wait: bool) -> int | None:
    """Open and lock a journal; None if its driver lives or it is gone."""
    while True:
        try:
            # NFS locks only what is open for writing.
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except OSError:
            os.close(file)
            return None
        os.close(file)  # written anew, or removed, while we waited


def _read(file: int) -> tuple[int, ...]:
    with open(file, "rb", closefd=False) as stream:
        matches = [_LINE.fullmatch(line) for line in stream.read().splitlines()]
    owed: Counter[int] = Counter()
    for match in matches:
        if match:
            owed[int(match[2])] += 1 if match[1] == b"+" else -1
    return tuple((+owed).elements())
