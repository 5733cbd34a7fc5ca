"""The contract between oned and its driver, row by row, with a real driver process.

The action map names tiny playbooks: CLONE holds until its source exists as a file here, LN only
speaks, MV fails, and DELETE makes the file that it names.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.forms import in_full
from tests.support.hosts import children_of
from tests.support.oned import ROOT, Oned, as_oned, driver_command
from tm_ansible.engine import marked
from tm_ansible.engine.holdings import end_orphans

PLAYBOOK = """\
- name: Serve a test
  hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - name: Serve
      ansible.builtin.command:
        argv: [sh, -c, '%s', sh, "{{ tm_source | regex_replace('^[^:]*:', '') }}"]
      changed_when: true
"""
PROGRAMS = {
    "CLONE": 'until test -e "$1"; do sleep 0.05; done',
    "LN": "echo hello",
    "MV": "echo no space left >&2; exit 3",
    "DELETE": 'touch "$1"',
}
ARGUMENT = "tm_test/tm_test.conf"
Start = Callable[..., Oned]


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """Give an ONE_LOCATION with an action map of the tests."""
    directory = tmp_path / "etc" / "tm_test"
    directory.mkdir(parents=True)
    (tmp_path / "var").mkdir()
    for verb, program in PROGRAMS.items():
        (directory / f"{verb.lower()}.yml").write_text(PLAYBOOK % program)
    lines = [f"{verb} = {verb.lower()}.yml\n" for verb in PROGRAMS]
    (directory / "tm_test.conf").write_text("".join(lines))
    return tmp_path


@pytest.fixture
def start(location: Path) -> Iterator[Start]:
    """Give a starter of drivers; all are ended, with whatever they run, after the test."""
    drivers: list[Oned] = []

    def begin(argument: str = ARGUMENT, **options: object) -> Oned:
        drivers.append(Oned(location, argument, **options))  # type: ignore[arg-type]
        return drivers[-1]

    yield begin
    for driver in drivers:
        driver.kill()
    for token in tokens(location):
        assert end_orphans(token, {}) == []
    for driver in drivers:
        driver.check_lines()


def tokens(location: Path) -> list[str]:
    """Give the tokens of the drivers that have a journal."""
    paths = (location / "var").glob(".tm_test.*.journal")
    return [path.name[1 : -len(".journal")] for path in paths]


def status(process: "subprocess.Popen[bytes]", field: str) -> str:
    """Give a field of ``/proc/<pid>/status``."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))


def link(oned: Oned, name: str) -> str:
    """Give where a link in ``/proc/<pid>`` of the driver leads."""
    return str(Path(f"/proc/{oned.process.pid}", name).readlink())


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Fail unless something comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def hold(flag: Path) -> str:
    """Give a script that runs until a file exists."""
    return f"CLONE localhost:{flag} localhost:/vms/disk.0\n"


def held(oned: Oned, flag: Path) -> list[int]:
    """Give the processes that wait for a file."""
    found = []
    for token in tokens(oned.location):
        for pid in marked.find(f"{token}."):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if command[:1] == [b"sh"] and str(flag).encode() in command:
                    found.append(pid)
    return found


SPEAK = "LN localhost:/images/a localhost:/vms/disk.0\n"


# How oned starts a driver.


def test_standard_descriptors_are_valid(start: Start) -> None:
    """Rows 1: descriptors 0, 1 and 2 are open, and lead to no pipe of oned's."""
    oned = start()
    targets = [link(oned, f"fd/{number}") for number in range(3)]
    assert targets == ["/dev/null"] * 3


def test_no_signal_stays_blocked(start: Start) -> None:
    """Row 2: the mask that oned's threads hand down is cleared."""
    assert int(status(start().process, "SigBlk"), 16) == 0


def test_children_get_signals(start: Start, tmp_path: Path) -> None:
    """Row 2: nothing that the driver starts has a signal blocked or ignored."""
    oned = start()
    oned.submit(7, hold(tmp_path / "flag"))
    wait_until(lambda: held(oned, tmp_path / "flag"))
    checked = 0
    for token in tokens(oned.location):
        for pid in marked.find(f"{token}."):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                text = Path(f"/proc/{pid}/status").read_text()
                assert "SigBlk:\t0000000000000000" in text
                checked += 1
    assert checked
    (tmp_path / "flag").touch()
    assert oned.wait_reply(7).ok


@pytest.mark.parametrize("argument", ["-t 15 tm_test/tm_test.conf", '  "tm_test/tm_test.conf" '])
def test_arguments_are_one_string(start: Start, argument: str) -> None:
    """Row 3: the string is split as a shell would split it."""
    assert start(argument).init == "INIT SUCCESS"


def test_an_absolute_map_is_found(start: Start, location: Path) -> None:
    """Row 9: the map may be named by an absolute path."""
    assert start(str(location / "etc" / ARGUMENT)).init == "INIT SUCCESS"


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("", "action map"),
        ("none/none.conf", "none.conf"),
        ("-d ssh,nfs tm_test/tm_test.conf", "-d"),
        ("-t x tm_test/tm_test.conf", "-t"),
    ],
)
def test_a_wrong_start_is_told_and_survived(start: Start, argument: str, part: str) -> None:
    """A driver that cannot work says why, lives, and answers each TRANSFER with the reason."""
    oned = start(argument)
    assert oned.init.startswith("INIT FAILURE ")
    assert part in oned.init
    reason = oned.init.removeprefix("INIT FAILURE ")
    oned.wait_for(lambda: any(part in line for line in oned.logs(-1)), 5, "the error in oned.log")
    for vm_id in (7, 7, 8):
        answer = oned.transfer(vm_id, SPEAK)
        assert (answer.ok, answer.reason) == (False, reason)
    oned.send("TRANSFER 9")
    assert oned.wait_reply(9).reason == reason
    assert oned.finalize() == 0


def test_init_is_answered_in_time(start: Start) -> None:
    """Row 5: the answer comes within half a second of the start, unless the machine is busy."""

    def took() -> float:
        oned = start()
        assert oned.init == "INIT SUCCESS"
        assert oned.finalize() == 0
        return oned.init_took

    assert any(took() < 0.5 for _ in range(20))


def test_nothing_heavy_is_imported() -> None:
    """Row 5: neither ansible nor ansible_runner is part of the driver's process."""
    program = (
        "import sys, tm_ansible.mad, tm_ansible.driver, tm_ansible.engine.process;"
        "print({n.split('.')[0] for n in sys.modules} & {'ansible', 'ansible_runner', 'rich'})"
    )
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    output = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert output == "set()\n"


def test_nothing_precedes_the_answer_to_init(start: Start, location: Path) -> None:
    """Row 5: even what the driver warns of comes behind its answer."""
    (location / "etc" / "tm_test" / "tm_testrc").write_text("ONE_MAD_DEBUG=1\n")
    (location / "var" / "tm_test.log").mkdir()
    oned = start()
    assert oned.init == "INIT SUCCESS"
    oned.wait_log(-1, f"no log file {location}/var/tm_test.log")
    assert oned.transfer(7, "").ok


def test_a_second_init_is_answered(start: Start) -> None:
    """INIT again is answered again and changes nothing."""
    oned = start()
    oned.send("INIT")
    oned.wait_for(lambda: oned.lines.count("INIT SUCCESS") == 2, 5, "the second answer")
    assert oned.transfer(7, "").ok


def test_the_end_of_input_ends_the_driver(start: Start) -> None:
    """Row 7: when oned is gone the driver ends by itself."""
    assert start().close_stdin() == 0


def test_finalize_ends_the_driver_without_a_word(start: Start) -> None:
    """Row 8: FINALIZE is followed by no line, and nothing is left in var."""
    oned = start()
    assert oned.transfer(7, "").ok
    before = len(oned.lines)
    begun = time.monotonic()
    assert oned.finalize() == 0
    assert time.monotonic() - begun < 5
    assert len(oned.lines) == before
    assert tokens(oned.location) == []


def test_sigterm_ends_the_driver_in_order(start: Start) -> None:
    """SIGTERM is heeded like FINALIZE, although oned had it blocked."""
    oned = start()
    oned.process.send_signal(signal.SIGTERM)
    assert oned.wait() == 0


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "PIPE", "USR1", "USR2", "ALRM", "TSTP"])
def test_no_other_signal_ends_the_driver(start: Start, name: str) -> None:
    """A signal that means nothing to a driver does nothing to it."""
    oned = start()
    oned.process.send_signal(signal.Signals[f"SIG{name}"])
    assert oned.transfer(7, "").ok


def test_rc_file_sets_priority_log_and_directory(start: Start, location: Path) -> None:
    """Row 10: PRIORITY is the nice value, ONE_MAD_DEBUG a log in var, var the directory."""
    (location / "etc" / "defaultrc").write_text("PRIORITY=3\n")
    (location / "etc" / "tm_test" / "tm_testrc").write_text("PRIORITY=5\nONE_MAD_DEBUG=1\n")
    log = location / "var" / "tm_test.log"
    log.write_text("what was there before\n")
    oned = start()
    assert not oned.transfer(7, "BAD").ok
    assert os.getpriority(os.PRIO_PROCESS, oned.process.pid) == min(os.nice(0) + 5, 19)
    assert link(oned, "cwd") == str(location / "var")
    assert link(oned, "fd/2") == str(log)
    wait_until(lambda: "ERROR MESSAGE ------>8--" in log.read_text())
    assert log.read_text().startswith("what was there before\n")


def test_a_mistake_is_told_in_the_drivers_own_log(start: Start, location: Path) -> None:
    """Row 10: with ONE_MAD_DEBUG the reason of INIT FAILURE is in the driver's log as well."""
    (location / "etc" / "tm_test" / "tm_testrc").write_text("ONE_MAD_DEBUG=1\n")
    (location / "etc" / "tm_test" / "settings.yml").write_text("limit: 3\n")
    oned = start()
    reason = oned.init.removeprefix("INIT FAILURE ")
    assert "limit: unknown key" in reason
    assert oned.transfer(7, SPEAK).reason == reason
    assert reason in (location / "var" / "tm_test.log").read_text()


@pytest.mark.parametrize("value", [b"vms", *in_full(b"/srv/vms extra", b'"/srv/\xff"')])
def test_a_vm_dir_that_cannot_be_used_is_told_and_survived(
    start: Start, location: Path, value: bytes
) -> None:
    """What oned.conf says of VM_DIR, and cannot be used, is in oned.log; transfers go on."""
    (location / "etc" / "oned.conf").write_bytes(b"VM_DIR = " + value + b"\n")
    oned = start()
    assert oned.init == "INIT SUCCESS"
    oned.wait_log(-1, f"{location}/etc/oned.conf: ")
    answer = oned.transfer(7, SPEAK)
    assert answer.ok, answer.reason


def test_a_broken_installation_is_told_and_survived(start: Start, tmp_path: Path) -> None:
    """A module that is missing does not make oned start the driver over and over."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "msgspec.py").write_text("raise ImportError('no msgspec\\nhere')\n")
    oned = start(environment={"PYTHONPATH": f"{broken}:{ROOT}"})
    reason = "the driver does not start: ImportError: no msgspec here"
    assert oned.init == f"INIT FAILURE {reason}"
    assert oned.transfer(7, SPEAK).reason == reason
    assert oned.finalize() == 0


def test_a_person_gets_version_and_help() -> None:
    """At a prompt the driver tells its version and its arguments."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    command = driver_command()
    text = subprocess.check_output([*command, "--help"], env=environment, text=True)
    assert text.startswith("usage: one_tm_ansible")
    text = subprocess.check_output([*command, "--version"], env=environment, text=True)
    assert text.startswith("one_tm_ansible ")


# The lines.


@pytest.mark.parametrize("line", ["TRANSFER {} {}", "TRANSFER  {} {}", "  TRANSFER \t{}\t  {}  "])
def test_both_forms_of_transfer_are_understood(start: Start, line: str) -> None:
    """Fields are split on runs of blanks, so that 1.2's and today's form are one."""
    oned = start()
    script = oned.var / "script"
    script.write_text("# nothing to do\n\n")
    oned.send(line.format(7, script))
    assert oned.wait_reply(7).ok


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"HELLO",
        b"LOG I 7 x",
        b"TRANSFER",
        b"TRANSFER x /tmp/y",
        b"TRANSFER -1 /tmp/y",
        b"TRANSFER 99999999999999999999 /tmp/y",
        b"DRIVER_CANCEL",
        b"DRIVER_CANCEL  x",
        b"DRIVER_CANCEL  4711",
        b"transfer 7 /tmp/y",
        b"INITIALISE",
        b"\x00\x01\xff\xfe",
        "TRANSFER \u0667 /tmp/y".encode(),
        b"x" * 70_000,
        b"TRANSFER 7 " + b"y" * 1_000_000,
    ],
    ids=lambda line: repr(line[:24]),
)
def test_lines_without_a_vm_are_survived(start: Start, line: bytes) -> None:
    """A line that asks for nothing, or for nothing that can be told, gets no reply."""
    oned = start()
    oned.send(line)
    assert oned.transfer(8, "").ok
    assert [text for text in oned.lines if text.startswith("TRANSFER")] == ["TRANSFER SUCCESS 8 -"]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("TRANSFER 7", "no transfer script"),
        ("TRANSFER  7  ", "no transfer script"),
        ("TRANSFER 7 /none/transfer.0", "/none/transfer.0"),
        ("TRANSFER 7 /", "/"),
        ("TRANSFER 7 /dev/zero", "/dev/zero"),
        ("TRANSFER 7 relative/none", "relative/none"),
    ],
)
def test_a_bad_transfer_of_a_known_vm_is_answered(start: Start, line: str, part: str) -> None:
    """Where a VM's number can be read there is exactly one reply, with a reason of its own."""
    oned = start()
    oned.send(line)
    reply = oned.wait_reply(7)
    assert not reply.ok
    assert part in reply.reason
    assert oned.transfer(8, "").ok
    assert len(oned.replies(7)) == 1


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("FLY node1:/a node1:/b\n", 1),
        ("# good\n\nLN localhost:/a\n", 3),
        (f"{SPEAK}MV a b c d\n", 2),
        (f"{SPEAK}MKSWAP 16 localhost:/x\n", 2),
        (f"{SPEAK}DELETE -oProxyCommand=x:/x\n", 2),
        (b"LN localhost:/a \xff\xfe:/b\n", 1),
    ],
)
def test_a_mistake_in_a_script_is_told_before_anything_runs(
    start: Start, script: str | bytes, line: int
) -> None:
    """The reason names the line, and no action in front of it has run."""
    answer = start().transfer(7, script)
    assert not answer.ok
    assert f"line {line}" in answer.reason
    assert answer.log == []


def test_an_empty_script_succeeds_at_once(start: Start) -> None:
    """Nothing to do is done without a run."""
    oned = start()
    begun = time.monotonic()
    assert oned.transfer(7, "").ok
    assert time.monotonic() - begun < 5


def test_many_lines_in_one_write_are_all_answered(start: Start) -> None:
    """1,000 TRANSFERs in one piece, and one in single bytes, get one reply each."""
    oned = start()
    script = oned.var / "script"
    script.write_text("")
    oned.write(b"".join(b"TRANSFER %d %s\n" % (n, bytes(script)) for n in range(1000)))
    for byte in b"TRANSFER 1000 %s\n" % bytes(script):
        oned.write(bytes([byte]))
    for vm_id in range(1001):
        assert oned.wait_reply(vm_id).ok
    assert len([line for line in oned.lines if line.startswith("TRANSFER")]) == 1001


def test_an_oned_that_does_not_read_holds_nothing_up(location: Path) -> None:
    """20,000 odd lines and no answer read: all are taken, memory is bounded, FINALIZE works."""
    environment = {"ONE_LOCATION": str(location), "PATH": "/usr/bin", "PYTHONPATH": str(ROOT)}
    process = as_oned(driver_command(), ARGUMENT, environment, location)
    assert process.stdin
    data = b"INIT\n" + (b"NONSENSE " + b"x" * 400 + b"\n") * 20_000
    try:
        while data:
            data = data[os.write(process.stdin.fileno(), data) :]
        os.write(process.stdin.fileno(), b"TRANSFER 7 /none\n")
        wait_until(lambda: any("+7" in p.read_text() for p in location.glob("var/.tm_test.*")))
        assert int(status(process, "VmRSS")) < 100_000  # KiB
        os.write(process.stdin.fileno(), b"FINALIZE\n")
        assert process.wait(8) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_closed_pipe_to_oned_ends_the_driver(location: Path) -> None:
    """EPIPE means that oned is gone, even while its other pipe is open."""
    environment = {"ONE_LOCATION": str(location), "PATH": "/usr/bin", "PYTHONPATH": str(ROOT)}
    process = as_oned(driver_command(), ARGUMENT, environment, location)
    assert process.stdin
    assert process.stdout
    try:
        process.stdout.close()
        process.stdin.write(b"INIT\n")
        assert process.wait(8) == 0
    finally:
        process.kill()
        process.stdin.close()
        process.wait()


# Runs.


def test_a_run_is_logged_and_answered(start: Start) -> None:
    """A script that works has a log line for its action, and SUCCESS."""
    answer = start().transfer(7, SPEAK)
    assert answer.ok, answer.reason
    assert any(line.startswith("LN localhost: ") for line in answer.log)


def test_a_failure_names_action_and_cause(start: Start) -> None:
    """The reason names the action, and the block with it is in the driver's log."""
    oned = start()
    answer = oned.transfer(7, f"MV localhost:/a localhost:/b\n{SPEAK}")
    assert not answer.ok
    assert answer.reason.startswith("MV localhost: ")
    assert not any(line.startswith("LN") for line in answer.log)
    oned.wait_log(-1, "ERROR MESSAGE ------>8--")
    assert answer.reason in oned.logs(-1)


def test_vms_run_in_parallel_and_one_vm_in_order(start: Start, tmp_path: Path) -> None:
    """VM 8 overtakes VM 7; what VM 7 is asked second comes second."""
    oned, flag = start(), tmp_path / "flag"
    oned.submit(7, hold(flag))
    oned.submit(7, "MV localhost:/a localhost:/b\n")
    assert oned.transfer(8, SPEAK).ok
    assert oned.replies(7) == []
    flag.touch()
    assert oned.wait_reply(7).ok
    assert not oned.wait_reply(7).ok


def test_the_limit_of_the_arguments_holds(start: Start, tmp_path: Path) -> None:
    """With -t 1 the second VM waits for the first."""
    oned, flag = start(f"-t 1 {ARGUMENT}"), tmp_path / "flag"
    oned.submit(7, hold(flag))
    wait_until(lambda: held(oned, flag))
    oned.submit(8, "")
    time.sleep(0.2)
    assert oned.replies(8) == []
    flag.touch()
    assert oned.wait_reply(7).ok
    assert oned.wait_reply(8).ok


def test_the_script_is_read_at_once(start: Start, tmp_path: Path) -> None:
    """A script that the next phase overwrites while it waits is carried out as it was."""
    oned, flag = start(), tmp_path / "flag"
    oned.submit(7, hold(flag))
    path = oned.submit(7, SPEAK)
    wait_until(lambda: held(oned, flag))
    path.write_text("MV localhost:/a localhost:/b\n")
    flag.touch()
    assert oned.wait_reply(7).ok
    assert oned.wait_reply(7).ok


def test_a_cancelled_run_is_dead_before_the_delete_behind_it(start: Start, tmp_path: Path) -> None:
    """DRIVER_CANCEL gets no reply; the DELETE behind it does, when the run is gone."""
    oned, flag, mark = start(), tmp_path / "flag", tmp_path / "mark"
    oned.submit(7, hold(flag))
    wait_until(lambda: held(oned, flag))
    pids = held(oned, flag)
    oned.send("DRIVER_CANCEL  7")
    answer = oned.transfer(7, f"DELETE localhost:{mark}\n")
    assert answer.ok, answer.reason
    assert mark.exists()
    assert not any(map(is_alive, pids))
    assert len(oned.replies(7)) == 1


def test_a_cancelled_queue_never_runs(start: Start, tmp_path: Path) -> None:
    """What waits is dropped by DRIVER_CANCEL; the slot is free for others."""
    oned, flag, mark = start(f"-t 1 {ARGUMENT}"), tmp_path / "flag", tmp_path / "mark"
    oned.submit(7, hold(flag))
    oned.submit(8, f"DELETE localhost:{mark}\n")
    wait_until(lambda: held(oned, flag))
    oned.send("DRIVER_CANCEL  8")
    oned.send("DRIVER_CANCEL  7")
    assert oned.transfer(9, SPEAK).ok
    assert not mark.exists()
    assert oned.replies(7) == oned.replies(8) == []


def test_a_killed_worker_is_a_failure_and_no_more(start: Start, tmp_path: Path) -> None:
    """When the worker is killed its transfer fails, nothing of it is left, and the next works."""
    oned, flag = start(), tmp_path / "flag"
    oned.submit(7, hold(flag))
    wait_until(lambda: held(oned, flag))
    pids = held(oned, flag)
    for worker in workers(oned.process.pid):
        os.kill(worker, signal.SIGKILL)
    reply = oned.wait_reply(7, 15)
    assert reply.reason == "CLONE localhost: the worker process was killed (signal 9, SIGKILL)"
    assert not any(map(is_alive, pids))
    assert oned.transfer(7, SPEAK).ok


@pytest.mark.parametrize("way", ["FINALIZE", "EOF", "SIGTERM"])
def test_the_end_takes_everything_along(start: Start, tmp_path: Path, way: str) -> None:
    """The driver's end ends what runs, answers nothing, and leaves no process."""
    oned, flag = start(), tmp_path / "flag"
    for vm_id in (7, 8):
        oned.submit(vm_id, hold(flag))
    oned.submit(7, SPEAK)
    wait_until(lambda: len(held(oned, flag)) == 2)
    pids = held(oned, flag)
    if way == "FINALIZE":
        assert oned.finalize(8) == 0
    elif way == "EOF":
        assert oned.close_stdin(8) == 0
    else:
        oned.process.send_signal(signal.SIGTERM)
        assert oned.wait(8) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert oned.replies(7) == oned.replies(8) == []


def test_the_successor_of_a_killed_driver_answers(start: Start, tmp_path: Path) -> None:
    """What a killed driver owed is answered FAILURE, once each, and nothing of it is left."""
    oned, flag = start(), tmp_path / "flag"
    oned.submit(7, hold(flag))
    oned.submit(7, SPEAK)
    oned.submit(8, hold(flag))
    assert oned.transfer(9, SPEAK).ok
    wait_until(lambda: len(held(oned, flag)) == 2)
    pids = held(oned, flag)
    oned.kill()
    successor = start()
    reason = "the driver was restarted while this transfer ran"
    for vm_id in (7, 7, 8):
        assert successor.wait_reply(vm_id).reason == reason
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 5)
    assert successor.transfer(7, SPEAK).ok
    assert len(successor.replies(7)) == 3
    assert successor.replies(9) == []
    assert successor.finalize() == 0
    assert tokens(successor.location) == []
    assert start().transfer(10, "").ok


def test_orphans_end_without_a_successor(start: Start, tmp_path: Path) -> None:
    """Five seconds after a driver was killed nothing that it started is left."""
    oned, flag = start(), tmp_path / "flag"
    oned.submit(7, hold(flag))
    wait_until(lambda: held(oned, flag))
    [token] = tokens(oned.location)
    oned.kill()
    wait_until(lambda: not marked.find(f"{token}."), 5)


def test_two_drivers_of_one_name_do_not_disturb_each_other(start: Start, tmp_path: Path) -> None:
    """A second driver of the same map answers for itself only, until the first is dead."""
    one, flag = start(), tmp_path / "flag"
    one.submit(7, hold(flag))
    wait_until(lambda: held(one, flag))
    two = start()
    assert two.transfer(8, SPEAK).ok
    assert two.replies(7) == []
    one.kill()
    assert two.wait_reply(7).reason == "the driver was restarted while this transfer ran"


@pytest.mark.long  # in short, for a whole driver, in faults/test_scarce.py
def test_few_descriptors_are_enough_or_told(start: Start) -> None:
    """With 40 descriptors and 12 transfers at once each is answered and the driver lives."""
    oned = start("-t 30 tm_test/tm_test.conf")
    pid = oned.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (40, hard))
    for vm_id in range(12):
        oned.submit(vm_id, SPEAK)
    replies = [oned.wait_reply(vm_id, 120) for vm_id in range(12)]
    assert any(reply.ok for reply in replies)
    assert any("Too many open files" in reply.reason for reply in replies)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    answer = oned.transfer(100, SPEAK)
    assert answer.ok, answer.reason


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers(driver: int) -> list[int]:
    """Give a driver's workers: its children, or those of its warm server."""
    found: list[int] = []
    for child in children_of(driver):
        is_server = Path(f"/proc/{child}/comm").read_text() == "tm-warm\n"
        found += children_of(child) if is_server else [child]
    return found
