"""The real engine, with worker processes that behave oddly."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tm_ansible.engine import conversation, marked, workers
from tm_ansible.engine.holdings import end_orphans
from tm_ansible.engine.job import Job, Line, Outcome, PlaybookRun
from tm_ansible.engine.process import ProcessEngine
from tm_ansible.errors import EngineError

LABELS = ("CLONE node1", "MKSWAP node1")


@pytest.fixture
def engine() -> ProcessEngine:
    """Give an engine that starts the odd worker."""
    return ProcessEngine("tests.support.odd_worker")


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Give a maker of jobs for the odd worker; each in a temporary directory of the test."""

    def make(behaviour: str, filler: str = "") -> Job:
        variables = {"behaviour": behaviour, "filler": filler}
        return Job(
            vm_id=7,
            actions=tuple(
                PlaybookRun(labels=(label,), playbook="/none.yml", variables=variables)
                for label in LABELS
            ),
            environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": str(tmp_path)},
            collections="/none",
            marker=f"test.{os.getpid()}.{tmp_path.name}.1",
        )

    return make


def carry_out(engine: ProcessEngine, job: Job) -> tuple[Outcome, list[str]]:
    """Run a job to its end and give what it told."""
    lines: list[Line] = []
    outcome = engine.start(job, lines.append).wait()
    return outcome, [line.text for line in lines]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Fail unless something comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def test_lines_and_outcome_of_a_worker_arrive(
    engine: ProcessEngine, job: Callable[..., Job]
) -> None:
    """A worker's lines come in order, and its outcome is that of the run."""
    assert carry_out(engine, job("good")) == (Outcome(), [f"{label}: done" for label in LABELS])


def test_a_failure_keeps_its_details(engine: ProcessEngine, job: Callable[..., Job]) -> None:
    """The reason and the details of a failed job arrive as told."""
    outcome, _ = carry_out(engine, job("bad"))
    assert outcome == Outcome(reason="CLONE node1: no space", detail=("one", "two"))


def test_a_killed_worker_is_a_failure_of_its_action(
    engine: ProcessEngine, job: Callable[..., Job]
) -> None:
    """The reason of a worker that was killed names the action under way and the signal."""
    outcome, _ = carry_out(engine, job("killed"))
    assert outcome.reason == "MKSWAP node1: the worker process was killed (signal 9, SIGKILL)"


def test_a_crashed_worker_leaves_its_traceback(
    engine: ProcessEngine, job: Callable[..., Job]
) -> None:
    """What a worker wrote on stderr before its death is in the details."""
    outcome, _ = carry_out(engine, job("crashed"))
    assert outcome.reason == (
        "CLONE node1: the worker process ended with status 1 and told no outcome"
    )
    assert outcome.detail[-1] == "RuntimeError: a bug"


def test_a_worker_without_outcome_has_failed(
    engine: ProcessEngine, job: Callable[..., Job]
) -> None:
    """An exit status of 0 alone is no success."""
    outcome, _ = carry_out(engine, job("silent"))
    assert outcome.reason is not None
    assert "told no outcome" in outcome.reason


def test_noise_is_ignored_and_long_messages_are_dropped(
    engine: ProcessEngine, job: Callable[..., Job]
) -> None:
    """What is no message is skipped, a message of 10 MB is noted only, and the rest arrives."""
    outcome, lines = carry_out(engine, job("noisy"))
    assert outcome == Outcome()
    assert lines == ["a message of more than 1048576 bytes was dropped", "after all"]


def test_a_job_larger_than_a_pipe_arrives(engine: ProcessEngine, job: Callable[..., Job]) -> None:
    """A job of 4 MB is written completely, and starting it does not wait for that."""
    outcome, lines = carry_out(engine, job("good", filler="x" * 2_000_000))
    assert outcome == Outcome()
    assert len(lines) == 2


def test_nothing_of_a_run_is_left_when_wait_returns(
    engine: ProcessEngine, job: Callable[..., Job], tmp_path: Path
) -> None:
    """A process of the run that left its session and ignores SIGTERM is gone, and so are files."""
    outcome, [pid] = carry_out(engine, job("orphaning"))
    assert outcome == Outcome()
    assert not is_alive(int(pid))
    assert marked.find(job("orphaning").marker) == []
    assert list(tmp_path.iterdir()) == []


def test_cancel_lets_the_worker_end_itself(
    engine: ProcessEngine, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends when its stdin closes tells its own outcome, and nobody waits longer."""
    monkeypatch.setattr(conversation, "_GRACE", 60.0)
    lines: list[Line] = []
    run = engine.start(job("obedient"), lines.append)
    wait_until(lambda: lines)
    start = time.monotonic()
    run.cancel()
    run.cancel()
    assert run.wait() == Outcome(reason="cancelled", cancelled=True)
    assert time.monotonic() - start < 30
    run.cancel()


def test_cancel_kills_a_worker_that_does_not_end(
    engine: ProcessEngine, job: Callable[..., Job]
) -> None:
    """A worker that ignores the closing of stdin and SIGTERM is gone within five seconds."""
    lines: list[Line] = []
    run = engine.start(job("stubborn"), lines.append)
    wait_until(lambda: lines)
    start = time.monotonic()
    run.cancel()
    assert run.wait() == Outcome(reason="CLONE node1: cancelled", cancelled=True)
    assert time.monotonic() - start < 5
    assert marked.find(job("stubborn").marker) == []


def test_cancel_does_not_wait_for_the_farewell(
    engine: ProcessEngine, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not end behind its outcome has no more time for that once cancelled."""
    monkeypatch.setattr(conversation, "_FAREWELL", 60.0)
    lines: list[Line] = []
    run = engine.start(job("lingering"), lines.append)
    wait_until(lambda: lines)
    start = time.monotonic()
    run.cancel()
    assert run.wait() == Outcome()
    assert time.monotonic() - start < 10


def test_the_worker_has_only_the_environment_of_its_job(
    engine: ProcessEngine, job: Callable[..., Job], tmp_path: Path
) -> None:
    """No variable and no descriptor of the driver's gets in; the run has a directory of its own."""
    _, lines = carry_out(engine, job("environment"))
    marker = job("environment").marker
    names = {line.partition("=")[0] for line in lines if "=" in line}
    assert names - {"LC_CTYPE"} == {"PATH", "LANG", "TMPDIR", "TM_ANSIBLE_RUN"}
    assert f"TM_ANSIBLE_RUN={marker}" in lines
    [own] = [line for line in lines if line.startswith("TMPDIR=")]
    assert own.startswith(f"TMPDIR={tmp_path}/tm_ansible.{marker}.")
    # The fourth is the listing's own.
    assert lines[-3:] == ["descriptors: [0, 1, 2, 3]", "session: True", "temporary: True"]


def test_nobody_takes_the_directory_of_a_run_to_come(
    engine: ProcessEngine, job: Callable[..., Job], tmp_path: Path
) -> None:
    """Others may write where it lies, and know how markers go on; no two have one directory."""
    wanted = job("environment")
    taken = {tmp_path / f"tm_ansible.{wanted.marker}{end}" for end in ("", ".", ".1")}
    for path in taken:
        path.mkdir()
    runs = [carry_out(engine, wanted) for _ in range(2)]
    assert [outcome for outcome, _ in runs] == [Outcome(), Outcome()]
    own = [next(line for line in lines if line.startswith("TMPDIR=")) for _, lines in runs]
    assert own[0] != own[1]
    assert set(tmp_path.iterdir()) == taken


def test_no_descriptor_is_left_after_runs(engine: ProcessEngine, job: Callable[..., Job]) -> None:
    """Ten runs leave the process with the descriptors it had."""
    carry_out(engine, job("good"))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number is all that counts
    for _ in range(10):
        carry_out(engine, job("good"))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_worker_that_cannot_be_started_is_an_error(
    engine: ProcessEngine,
    job: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing interpreter is an error that names it, and leaves no files."""
    monkeypatch.setattr(workers.sys, "executable", "/none/python3")
    with pytest.raises(EngineError, match=r"cannot start a worker process: .*/none/python3"):
        engine.start(job("good"), print)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_start_that_fails_oddly(
    engine: ProcessEngine,
    job: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that nobody expected leaves no directory either."""

    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(workers, "_spawn", fail)
    with pytest.raises(MemoryError):
        engine.start(job("good"), print)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_for_temporary_files_is_an_error(
    engine: ProcessEngine, job: Callable[..., Job], tmp_path: Path
) -> None:
    """Without TMPDIR no run starts, and the error names the directory."""
    wanted = job("good")
    tmp_path.rmdir()
    with pytest.raises(EngineError, match=f"temporary files: .*{tmp_path}"):
        engine.start(wanted, print)


def test_a_job_that_cannot_be_written_is_an_error(
    engine: ProcessEngine, job: Callable[..., Job]
) -> None:
    """A path that is not UTF-8 is refused before anything is started."""
    with pytest.raises(EngineError, match="not UTF-8"):
        engine.start(job("good", filler="\ud800"), print)
    assert marked.find(job("good").marker) == []


def test_orphans_of_a_dead_driver_are_ended(
    engine: ProcessEngine, job: Callable[..., Job], tmp_path: Path
) -> None:
    """What carries a driver's token is ended, and its temporary files are removed."""
    lines: list[Line] = []
    wanted = job("stubborn")
    run = engine.start(wanted, lines.append)
    wait_until(lambda: lines)
    token = wanted.marker.removesuffix(".1")
    assert end_orphans(token[:-1], wanted.environment) == []
    assert len(marked.find(wanted.marker)) == 1
    assert end_orphans(token, wanted.environment) == []
    assert marked.find(wanted.marker) == []
    assert list(tmp_path.iterdir()) == []
    assert run.wait().reason == "CLONE node1: the worker process was killed (signal 9, SIGKILL)"
