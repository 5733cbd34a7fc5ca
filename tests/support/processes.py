"""What tests need to know about processes."""

import time
from collections.abc import Callable
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
