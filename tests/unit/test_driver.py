"""The driver above a fake engine: one answer to each transfer, none to a cancelled one."""

import fcntl
import os
import queue
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from tm_ansible.driver import Driver
from tm_ansible.engine.fake import FakeEngine
from tm_ansible.engine.job import Outcome, Severity
from tm_ansible.engine.process import ProcessEngine
from tm_ansible.journal import Journal
from tm_ansible.writer import Writer

SCRIPT = "CLONE localhost:/images/a localhost:/vms/7/disk.0\n"


class Stage:
    """A driver with the test on both sides: oned's, and the engine's."""

    def __init__(self, location: Path, settings: str = "") -> None:
        """Lay the smallest installation out and start a driver on it."""
        directory = location / "etc" / "tm"
        directory.mkdir(parents=True)
        (location / "var").mkdir(exist_ok=True)
        (directory / "clone.yml").write_text("[]\n")
        (directory / "tm.conf").write_text(
            "CLONE = clone.yml\nMKSWAP = clone.yml\nMV = clone.yml\n"
        )
        (directory / "settings.yml").write_text(settings)
        self.location = location
        self.engine = FakeEngine()
        self._read, self._write = os.pipe()
        self._stream = os.fdopen(self._read, "rb", buffering=0)
        environment = {"ONE_LOCATION": str(location), "PATH": "/usr/bin:/bin"}
        self._gone = threading.Event()
        self.writer = Writer(self._write, self._gone.set)
        self.driver = Driver(["tm/tm.conf"], environment, self.writer, self.engine)
        self.say("INIT")
        assert self.hear() == "INIT SUCCESS"

    def say(self, line: str) -> None:
        """Be oned: send a line."""
        assert self.driver.handle(line.encode())

    def transfer(self, vm_id: int, script: str = SCRIPT) -> None:
        """Be oned: send a script."""
        path = self.location / "script"
        path.write_text(script)
        self.say(f"TRANSFER {vm_id} {path}")
        path.unlink()

    def hear_all(self, lines: int) -> list[str]:
        """Wait for so many lines."""
        return [self.hear() for _ in range(lines)]

    def hear(self) -> str:
        """Wait for the driver's next line."""
        assert select.select([self._read], [], [], 10)[0], "no line came"
        return self._stream.readline().decode().removesuffix("\n")

    def silent(self) -> bool:
        """Tell whether nothing has come, even a moment later."""
        return not select.select([self._read], [], [], 0.1)[0]

    def journal(self) -> str:
        """Give the text of the only journal, once all that was written is noted."""
        self.writer.flush(10)
        [path] = (self.location / "var").glob(".tm.*.journal")
        return path.read_text()

    def close(self) -> None:
        """Be an oned that is gone; the writer ends before the next test's pipe gets its number."""
        self._stream.close()
        self.writer.reply(b"\n")
        assert self._gone.wait(10)
        os.close(self._write)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Give a stage; the driver changes the working directory, which is restored."""
    monkeypatch.chdir(tmp_path)
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def test_lines_then_one_answer(stage: Stage) -> None:
    """Lines leave as they come; the answer follows them, and nothing follows it."""
    stage.transfer(7)
    run = stage.engine.next_run()
    assert stage.journal() == "+7\n"
    run.say("CLONE localhost: copied")
    assert stage.hear() == "LOG I 7 CLONE localhost: copied"
    run.say("CLONE localhost: slow", Severity.WARNING)
    assert stage.hear() == "LOG W 7 CLONE localhost: slow"
    run.finish()
    assert stage.hear() == "TRANSFER SUCCESS 7 -"
    run.say("too late")
    assert stage.silent()
    assert stage.journal() == ""


def test_a_black_holed_host_delays_no_other(stage: Stage) -> None:
    """Of ten slots a host that never answers holds four; 19 other hosts go on without a wait."""
    for vm_id in range(20):
        stage.transfer(vm_id, f"CLONE localhost:/images/a dead:/vms/{vm_id}/disk.0\n")
    dead = [stage.engine.next_run() for _ in range(4)]
    waiting = "waiting: 4 transfers copy to or from dead already (setting copies.per_host)"
    assert set(stage.hear_all(16)) == {f"LOG I {vm_id} {waiting}" for vm_id in range(4, 20)}
    for vm_id in range(100, 119):
        stage.transfer(vm_id, f"CLONE localhost:/images/a node{vm_id}:/vms/{vm_id}/disk.0\n")
    for _ in range(19):
        run = stage.engine.next_run()
        assert run.job.vm_id >= 100
        run.finish()
    assert set(stage.hear_all(19)) == {f"TRANSFER SUCCESS {number} -" for number in range(100, 119)}
    assert stage.engine.idle()
    for run in dead:
        run.finish(Outcome(reason="CLONE dead: cannot reach dead"))
    for _ in range(16):
        stage.engine.next_run().finish()
    said = stage.hear_all(4 * 5 + 16)
    assert sum(line.startswith("TRANSFER") for line in said) == 20
    assert stage.silent()


def test_what_copies_nothing_waits_for_no_host(stage: Stage) -> None:
    """A script that only links or deletes on a busy host starts at once."""
    for vm_id in range(4):
        stage.transfer(vm_id, f"CLONE localhost:/images/a node1:/vms/{vm_id}/disk.0\n")
    stage.transfer(9, "MKSWAP 16 node1:/vms/9/disk.1\n")
    runs = [stage.engine.next_run() for _ in range(5)]
    assert {run.job.vm_id for run in runs} == {0, 1, 2, 3, 9}
    for run in runs:
        run.finish()
    assert len(stage.hear_all(5)) == 5


def test_the_front_end_has_a_limit_of_its_own(tmp_path: Path, monkeypatch) -> None:
    """With copies.front_end 1 a second copy from the front-end waits, whatever its host."""
    monkeypatch.chdir(tmp_path)
    stage = Stage(tmp_path, "copies: {front_end: 1}\n")
    stage.transfer(1, "CLONE localhost:/images/a node1:/vms/1/disk.0\n")
    stage.transfer(2, "CLONE localhost:/images/a node2:/vms/2/disk.0\n")
    stage.transfer(3, "MV node3:/vms/3/images node4:/vms/3/images\n")
    assert stage.hear() == (
        "LOG I 2 waiting: 1 transfer reads or writes images on the front-end already "
        "(setting copies.front_end)"
    )
    first, third = stage.engine.next_run(), stage.engine.next_run()
    assert (first.job.vm_id, third.job.vm_id) == (1, 3)
    first.finish()
    second = stage.engine.next_run()
    second.finish()
    third.finish()
    assert len(stage.hear_all(3)) == 3
    stage.close()


def test_a_slot_kept_for_an_older_transfer_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a host that nobody copies to yet says that an older transfer comes first."""
    monkeypatch.chdir(tmp_path)
    stage = Stage(tmp_path, "copies: {per_host: 1}\n")
    for vm_id, host in ((1, "node1"), (2, "node1"), (3, "node2")):
        stage.transfer(vm_id, f"CLONE localhost:/images/a {host}:/vms/{vm_id}/disk.0\n")
    stage.transfer(4, "MV node1:/vms/4/images node2:/vms/4/images\n")
    first, third = stage.engine.next_run(), stage.engine.next_run()
    assert (first.job.vm_id, third.job.vm_id) == (1, 3)
    first.finish()
    second = stage.engine.next_run()
    stage.transfer(3, "MKSWAP 16 node3:/vms/3/disk.1\n")
    third.finish()
    stage.engine.next_run().finish()  # younger work of its VM: the third is over
    assert len(stage.hear_all(5)) == 5
    stage.transfer(5, "CLONE localhost:/images/a node2:/vms/5/disk.0\n")
    older = "an older transfer comes first at node2 (setting copies.per_host)"
    assert stage.hear() == f"LOG I 5 waiting: {older}"
    second.finish()
    for _ in range(2):
        stage.engine.next_run().finish()
    assert len(stage.hear_all(3)) == 3
    stage.close()


def test_a_failure_has_its_block_in_the_log(stage: Stage) -> None:
    """The reply has the reason; reason and details are in the driver's log, between the marks."""
    stage.transfer(7)
    stage.engine.next_run().finish(Outcome(reason="CLONE node1: no space", detail=("1 GiB\n",)))
    assert [stage.hear() for _ in range(6)] == [
        "TRANSFER FAILURE 7 CLONE node1: no space",
        "LOG E -1 VM 7: the transfer failed",
        "LOG E -1 ERROR MESSAGE --8<------",
        "LOG E -1 CLONE node1: no space",
        "LOG E -1 1 GiB",
        "LOG E -1 ERROR MESSAGE ------>8--",
    ]


def test_a_long_block_is_cut(stage: Stage) -> None:
    """Of 30,000 lines the log gets the last ones, and is told of the others."""
    stage.transfer(7)
    detail = tuple(f"line {number}" for number in range(1, 30_001))
    stage.engine.next_run().finish(Outcome(reason="CLONE node1: no space", detail=detail))
    lines = [stage.hear()]
    while not lines[-1].endswith("------>8--"):
        lines.append(stage.hear())
    assert len(lines) < 300
    assert "LOG E -1 CLONE node1: no space" in lines
    assert any(line.startswith("LOG E -1 … 29800 lines") for line in lines)
    assert lines[-2] == "LOG E -1 line 30000"


def test_the_job_is_that_of_the_script(stage: Stage) -> None:
    """The script is read before anything else is; each run has a marker of its own."""
    stage.transfer(7)
    stage.transfer(8)
    one, two = stage.engine.next_run(), stage.engine.next_run()
    assert {one.job.vm_id, two.job.vm_id} == {7, 8}
    assert one.job.labels[0] == "CLONE localhost"
    assert one.job.marker != two.job.marker
    one.finish()
    two.finish()


def test_a_cancelled_transfer_is_not_answered(stage: Stage) -> None:
    """Neither the run nor what waited answers; what comes behind starts when the run is over."""
    stage.transfer(7)
    stage.transfer(7)
    run = stage.engine.next_run()
    stage.say("DRIVER_CANCEL  7")
    assert run.cancelled.wait(10)
    assert stage.journal() == ""
    stage.transfer(7)
    run.say("a last word")
    assert stage.silent()
    assert stage.engine.idle()
    run.finish(Outcome(reason="cancelled", cancelled=True))
    stage.engine.next_run().finish()
    assert stage.hear() == "TRANSFER SUCCESS 7 -"
    assert stage.silent()


def test_cancel_of_what_is_unknown_or_over_does_nothing(stage: Stage) -> None:
    """A late or odd DRIVER_CANCEL makes no line and spoils nothing."""
    stage.say("DRIVER_CANCEL  99")
    stage.transfer(7)
    stage.engine.next_run().finish()
    assert stage.hear() == "TRANSFER SUCCESS 7 -"
    stage.say("DRIVER_CANCEL  7")
    stage.say("DRIVER_CANCEL  7")
    assert stage.silent()


def test_a_reply_that_oned_was_too_slow_for_goes_with_the_cancel(stage: Stage) -> None:
    """A reply that still waits behind log lines when its VM is cancelled never comes."""
    stage.transfer(7)
    run = stage.engine.next_run()
    fcntl.fcntl(stage.driver._writer._descriptor, fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(100):
        run.say("x" * 100)
    run.finish()
    wait_until(lambda: stage.driver._writer._answers)
    stage.say("DRIVER_CANCEL 7")
    assert all(line.startswith("LOG I 7 ") for line in stage.hear_all(100))
    assert stage.silent()
    assert stage.journal() == ""


def test_what_a_predecessor_owes_is_overtaken_by_what_oned_asks_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a driver that ends late only those VMs are answered of which oned has not spoken since."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    before = Journal(tmp_path / "var", "tm")
    for vm_id in (7, 8, 9):
        before.accept(vm_id)
    stage = Stage(tmp_path)
    stage.transfer(7)
    stage.say("DRIVER_CANCEL 8")
    before.close()
    heard: list[str] = []
    while not any("TRANSFER" in line for line in heard):
        heard.append(stage.hear())
    stage.engine.next_run().finish()
    while not any("TRANSFER SUCCESS" in line for line in heard):
        heard.append(stage.hear())
    assert [line for line in heard if "LOG" not in line] == [
        "TRANSFER FAILURE 9 the driver was restarted while this transfer ran",
        "TRANSFER SUCCESS 7 -",
    ]
    assert stage.journal() == ""
    stage.close()


def test_what_is_overtaken_while_it_waits_for_a_slow_oned_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer for a predecessor that still waits when oned asks anew is none to that."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    before = Journal(tmp_path / "var", "tm")
    for vm_id in (7, 9):
        before.accept(vm_id)
    stage = Stage(tmp_path)
    fcntl.fcntl(stage.driver._writer._descriptor, fcntl.F_SETPIPE_SZ, 4096)
    stage.transfer(5)
    run = stage.engine.next_run()
    for _ in range(100):
        run.say("x" * 100)
    before.close()
    wait_until(lambda: len(stage.driver._writer._answers) == 2)
    stage.transfer(7)
    stage.engine.next_run().finish()
    heard: list[str] = []
    while "TRANSFER SUCCESS 7 -" not in heard:
        heard.append(stage.hear())
    assert [line for line in heard if "LOG" not in line] == [
        "TRANSFER FAILURE 9 the driver was restarted while this transfer ran",
        "TRANSFER SUCCESS 7 -",
    ]
    run.finish()
    assert stage.hear() == "TRANSFER SUCCESS 5 -"
    assert stage.journal() == ""
    stage.close()


def test_an_engine_that_cannot_start_is_a_failure(stage: Stage) -> None:
    """An engine's error is the reason, behind its action, and the next transfer works."""
    stage.engine.refusal = "no memory for a worker process"
    stage.transfer(7)
    assert stage.hear() == "TRANSFER FAILURE 7 CLONE localhost: no memory for a worker process"
    for _ in range(4):
        stage.hear()
    stage.engine.refusal = ""
    stage.transfer(7)
    stage.engine.next_run().finish()
    assert stage.hear() == "TRANSFER SUCCESS 7 -"


def test_a_bug_is_a_failure_with_a_traceback(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody expected is an answer like another."""

    def fail(*arguments: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(stage.engine, "start", fail)
    stage.transfer(7)
    lines = []
    while not lines or "------>8--" not in lines[-1]:
        lines.append(stage.hear())
    reason = "internal error, see the driver's log: KeyError: 'oops'"
    assert f"TRANSFER FAILURE 7 {reason}" in lines
    assert any("Traceback" in line for line in lines)


def test_the_end_answers_nothing_and_keeps_the_journal(stage: Stage) -> None:
    """What runs is cancelled without answer; the successor will find what is owed."""
    stage.transfer(7)
    stage.transfer(7)
    run = stage.engine.next_run()
    assert not stage.driver.handle(b"FINALIZE")
    run.cancel = lambda: run.finish(Outcome(cancelled=True))  # type: ignore[method-assign]
    stage.driver.close()
    assert stage.silent()
    assert stage.journal() == "+7\n+7\n"
    with pytest.raises(queue.Empty):
        stage.engine.next_run(timeout=0.1)


def test_what_is_answered_while_the_driver_ends_is_noted(stage: Stage) -> None:
    """An answer that oned reads late is not given again by the successor."""
    stage.transfer(7)
    stage.transfer(8)
    done, other = stage.engine.next_run(), stage.engine.next_run()
    if done.job.vm_id == 8:
        done, other = other, done
    fcntl.fcntl(stage.driver._writer._descriptor, fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(100):
        done.say("x" * 100)
    done.finish()
    wait_until(lambda: stage.driver._writer._answers)
    ending = threading.Thread(target=stage.driver.close)
    ending.start()
    assert other.cancelled.wait(10)
    assert {"TRANSFER SUCCESS 7 -"} == {line for line in stage.hear_all(101) if "LOG" not in line}
    other.finish(Outcome(cancelled=True))
    ending.join(10)
    assert stage.journal() == "+7\n+8\n-7\n"
    heir = Journal(stage.location / "var", "tm")
    assert [legacy.owed for legacy in heir.legacies()] == [(8,)]
    heir.close()


def test_the_real_engine_and_its_sibling_start_alike() -> None:
    """The fake takes what the real engine takes."""
    real = ProcessEngine.start.__annotations__.keys()
    assert FakeEngine.start.__annotations__.keys() == real
