"""What has to end processes while no descriptor is left to look for them."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tm_ansible.engine import marked
from tm_ansible.engine.holdings import end_orphans
from tm_ansible.engine.watch import Watch

TOKEN = f"scarce.{os.getpid()}"


@contextmanager
def none_left() -> Iterator[None]:
    """Leave no descriptor for the time of the block."""
    kept, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, kept[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """Give a process of a run."""
    environment = {**os.environ, marked.VARIABLE: f"{TOKEN}.1"}
    with subprocess.Popen(["sleep", "60"], env=environment) as process:
        yield process
        process.kill()


class Overdue:
    """A run whose time is over."""

    left = False

    def exceeded(self) -> str:
        """Tell so."""
        return "not finished within 0 s"

    def take(self, line: bytes) -> None:
        """Take no job."""

    def dismiss(self) -> None:
        """Go on: there is something to do."""

    def leave(self) -> None:
        """Note it."""
        self.left = True


def test_the_end_at_a_limit(process: "subprocess.Popen[bytes]") -> None:
    """A run whose time is over is ended as soon as it can be."""
    run = Overdue()
    watch = Watch(f"{TOKEN}.1", run)
    with none_left():
        watch.start()
        time.sleep(1)
        assert watch.is_alive()
        assert watch.cause
        assert process.poll() is None
    watch.join(10)
    assert process.wait(10) == -15
    assert not run.left


def test_the_end_of_what_a_dead_driver_left(
    process: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """A successor ends it as soon as it can, and then knows that it has."""
    left: list[list[int] | None] = []
    environment = {"TMPDIR": str(tmp_path)}
    heir = threading.Thread(target=lambda: left.append(end_orphans(TOKEN, environment)))
    with none_left():
        heir.start()
        time.sleep(0.5)
        assert process.poll() is None
    heir.join(10)
    assert left == [[]]
    assert process.wait(10) == -15
