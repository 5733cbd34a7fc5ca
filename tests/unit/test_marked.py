"""Finding and ending processes by their marker, with real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tm_ansible.engine import marked

STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN)"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a starter of marked processes; all are gone after the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(marker: str, prelude: str = "pass") -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", f"{prelude}; print(flush=True); import time; time.sleep(600)"],
            env={"OTHER": "1", marked.VARIABLE: marker},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout
        processes.append(process)
        process.stdout.readline()
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def token(request: pytest.FixtureRequest) -> str:
    """Give a token that no other test has."""
    return f"{request.node.name}-{os.getpid()}"


def test_only_the_exact_marker_is_found(start: Start, token: str) -> None:
    """Run 1 is not run 10, nor the other way round."""
    one, ten = start(f"{token}.1"), start(f"{token}.10")
    assert marked.find(f"{token}.1") == [one.pid]
    assert marked.find(f"{token}.10") == [ten.pid]


def test_a_token_with_its_dot_finds_all_runs(start: Start, token: str) -> None:
    """The beginning of markers finds every run of a driver, and no other driver's."""
    mine = {start(f"{token}.1").pid, start(f"{token}.2").pid}
    start(f"{token}x.1")
    assert set(marked.find(f"{token}.")) == mine


def test_end_is_friendly_first(start: Start, token: str) -> None:
    """A process that heeds SIGTERM ends by it, and at once."""
    process = start(f"{token}.1")
    begun = time.monotonic()
    assert marked.end(f"{token}.1", patience_seconds=60) == []
    assert process.wait() == -15
    assert time.monotonic() - begun < 20


def test_end_kills_what_ignores_sigterm(start: Start, token: str) -> None:
    """A process that ignores SIGTERM is killed within the patience."""
    process = start(f"{token}.1", STUBBORN)
    assert marked.end(f"{token}.1", patience_seconds=0.4) == []
    assert process.wait() == -9


def test_what_is_being_replaced_is_there(token: str) -> None:
    """A process that execve(2) is at work on shows no environment, and is not taken for dead."""
    again = 'exec sh -c "$AGAIN"'
    environment = {**os.environ, marked.VARIABLE: f"{token}.1", "AGAIN": again}
    process = subprocess.Popen(["sh", "-c", again], env=environment)
    try:
        assert all(marked.belongs(process.pid, f"{token}.1") for _ in range(3000))
    finally:
        process.kill()
        process.wait()


def test_own_process_is_spared(token: str) -> None:
    """A process that bears the marker itself can end the others and lives on."""
    program = (
        "from tm_ansible.engine import marked; import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"left = marked.end('{token}.1')\n"
        "print(left, child.wait())"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    environment[marked.VARIABLE] = f"{token}.1"
    output = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert output == "[] -15\n"


def test_nothing_marked_is_proven_quickly(token: str) -> None:
    """The proof that nothing is left takes no waiting."""
    begun = time.monotonic()
    assert marked.end(f"{token}.1", patience_seconds=60) == []
    assert time.monotonic() - begun < 20
