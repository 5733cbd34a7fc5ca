"""Commands of playbooks where the system has nothing to spare."""

import errno
import os
import time
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils.commands import Command, run_lines

from tests.support.processes import alive


def test_without_a_guard_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose guard cannot be forked is ended at once, and the error is told."""

    def fail() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fail)
    began = time.monotonic()
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number is all that counts
    pid = tmp_path / "pid"
    with pytest.raises(BlockingIOError):
        run_lines(Command(["sh", "-c", f"echo $$ > {pid}; sleep 60"]), print, print)
    assert time.monotonic() - began < 30
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208
    time.sleep(0.2)
    assert not pid.exists() or not alive(int(pid.read_text() or 0))
