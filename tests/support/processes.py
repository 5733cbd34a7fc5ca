"""What tests need to know about processes."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def _fields(pid: int) -> list[str]:
    """Give the fields of /proc/<pid>/stat behind the name (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def parent(pid: int) -> int:
    """Give the parent of a process."""
    return int(_fields(pid)[1])


def alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return _fields(pid)[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true, or fail the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        time.sleep(0.05)


def resident_mib(pid: int) -> float:
    """Give a process's resident memory in MiB; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def memory(pid: int) -> bytes:
    """Give what a process holds in memory, as far as it may be read."""
    found = b""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, rights = line.split()[:2]
            if "w" in rights:
                begin, end = (int(part, 16) for part in area.split("-"))
                with suppress(OSError, ValueError):
                    mem.seek(begin)
                    found += mem.read(end - begin)
    return found
