"""The driver's side of warm workers: what it gives back when a server has failed it."""

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from tm_ansible.engine.job import Job, RunOptions, Site
from tm_ansible.engine.warm import client
from tm_ansible.engine.warm.client import WarmWorkers

ROOT = Path(__file__).resolve().parents[2]
SERVER = """\
import socket, sys, time
control = socket.socket(fileno=int(sys.argv[1]))
control.recv(1 << 20)
{ready}
while control.recv(1 << 20):
    {answer}
"""


def descriptors() -> int:
    """Count this process's open descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a site whose server is a module of the test's."""
    return Site(
        environment={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        collections="/none",
        options=RunOptions(),
        defaults={},
        marker="t.warm",
        session_seconds=4.0,
    )


@pytest.fixture
def workers(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Give a maker of ``WarmWorkers``, by what their server does."""
    made: list[WarmWorkers] = []

    def make(ready: str, answer: str = "pass") -> WarmWorkers:
        (tmp_path / "odd_server.py").write_text(SERVER.format(ready=ready, answer=answer))
        monkeypatch.setattr(client, "_SERVER", "odd_server")
        made.append(WarmWorkers(site, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def job(site: Site) -> Job:
    """Give a job of the site."""
    return Job(
        vm_id=1,
        actions=(),
        collections=site.collections,
        environment=site.environment,
        marker="t.1",
    )


READY = "control.send(b'ready')"


def is_ready(warm: WarmWorkers) -> None:
    """Wait for the server."""
    wait_until(lambda: warm._server)


def test_server_that_ends_is_not_waited_for(workers, site: Site, tmp_path: Path) -> None:
    """A server that closes the socket instead of forking costs no time, and no descriptor."""
    warm = workers(READY, "break")
    is_ready(warm)
    before = descriptors()
    began = time.monotonic()
    assert warm.start(job(site), tmp_path) is None
    assert time.monotonic() - began < client._START_SECONDS
    wait_until(lambda: warm._server)
    assert descriptors() == before


def test_no_descriptor_is_lost_when_there_are_too_few(workers, site: Site, tmp_path: Path) -> None:
    """What was opened for a worker is closed again when the next descriptor is refused."""
    warm = workers(READY)
    is_ready(warm)
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, kept[1]))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(5):
            os.close(taken.pop())
        for _ in range(5):
            with pytest.raises(OSError, match="Too many open files"):
                warm.start(job(site), tmp_path)
        taken += [os.dup(0) for _ in range(5)]
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)


def test_server_that_does_not_get_ready_is_not_tried_at_once_again(
    workers, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs start cold, the log says why once, and nothing is left of the attempt."""
    warm = workers("raise SystemExit('out of order')")
    wait_until(lambda: caplog.messages)
    wait_until(lambda: not warm._starting)
    for _ in range(3):
        assert warm.start(job(site), tmp_path) is None
    assert not warm._starting
    assert caplog.messages == ["runs start cold: out of order"]
    assert not list(tmp_path.glob("tm_ansible.*"))


def test_close_waits_for_no_server_that_does_not_answer(
    workers, site: Site, tmp_path: Path
) -> None:
    """The end of the driver ends a server that somebody waits for; who waited starts cold."""
    warm = workers(f"{READY}; time.sleep(60)")
    is_ready(warm)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(warm.start, job(site), tmp_path)
        wait_until(warm._lock.locked)
        began = time.monotonic()
        warm.close()
        assert time.monotonic() - began < client._START_SECONDS
        assert asking.result(1) is None


def test_close_ends_a_server_that_is_not_ready(workers, tmp_path: Path) -> None:
    """The end of the driver does not wait for a server that still loads, and leaves none."""
    warm = workers("time.sleep(60)")
    wait_until(lambda: warm._unready)
    process = warm._unready._process
    began = time.monotonic()
    warm.close()
    assert time.monotonic() - began < client._START_SECONDS
    wait_until(lambda: process.poll() is not None)
    wait_until(lambda: not list(tmp_path.glob("tm_ansible.*")))
