"""``tm-ansible run`` and ``transfer``: the action-script rules, at a prompt and without one."""

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import COMMAND, environment_of, tm_ansible
from tests.support.oned import as_oned
from tests.support.processes import alive, wait_until

OPENING, CLOSING = "ERROR MESSAGE --8<------", "ERROR MESSAGE ------>8--"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Give a bare OpenNebula: nothing of ours is configured."""
    (tmp_path / "one" / "var").mkdir(parents=True)
    (tmp_path / "image").write_bytes(os.urandom(1 << 20))
    return tmp_path / "one"


def block(stderr: str) -> str:
    """Give the error message; check that it stands between its separators, at the end."""
    lines = stderr.splitlines()
    assert lines[-1] == CLOSING, stderr
    assert lines[-3] == OPENING, stderr
    return lines[-2]


def test_an_action_is_carried_out_with_nothing_configured(one: Path) -> None:
    """The log is on STDOUT, the exit code is 0, nothing is on STDERR; cron's PATH will do."""
    source, destination = one.parent / "image", one / "var/7/images/disk.0"
    words = ["CLONE", f"localhost:{source}", f"localhost:{destination}", "--model", "nfs"]
    done = tm_ansible("run", *words, "--vm", "7", location=one)
    assert (done.returncode, done.stderr) == (0, "")
    assert destination.read_bytes() == source.read_bytes()
    assert done.stdout.startswith("CLONE localhost: copied image to disk.0")


def test_check_does_nothing(one: Path) -> None:
    """What would be done is told."""
    disk = one / "var/7/images/disk.0"
    done = tm_ansible("run", "mkswap", "1", f"node1:{disk}", "--model=nfs", "--check", location=one)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    assert not disk.exists()


def test_a_failure_has_its_block_and_exit_code_1(one: Path) -> None:
    """The message names action, host and cause."""
    words = ["CLONE", "localhost:/nosuch", f"localhost:{one}/var/7/disk.0", "--model", "nfs"]
    done = tm_ansible("run", *words, location=one)
    assert done.returncode == 1
    message = block(done.stderr)
    assert message.startswith("CLONE localhost: ")
    assert "/nosuch" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["FLY", "a:/b"], "unknown action FLY"),
        ([""], "no action given"),
        (["CLONE", "a:/b"], "expected CLONE"),
        (["MV", "a:/b", "c:/../d"], "holds '..'"),
        (["MV", "a:/b", "-oProxyCommand=x:/d"], "begins with '-'"),
    ],
)
def test_an_impossible_request_has_a_block_too(one: Path, words: list[str], message: str) -> None:
    """A transfer driver that calls us looks for nothing else."""
    done = tm_ansible("run", "--model", "nfs", "--", *words, location=one)
    assert done.returncode == 2
    assert message in block(done.stderr)
    assert "line 1" not in done.stderr


def test_a_wrong_option_is_told_on_one_line(one: Path) -> None:
    """The parser's complaints look like all others."""
    done = tm_ansible("run", "DELETE", "a:/b", location=one)
    assert done.returncode == 2
    assert done.stderr.startswith("tm-ansible: ")
    assert done.stderr.count("\n") == 1


def test_a_model_as_it_comes_has_no_directory_for_kinds_of_url(one: Path) -> None:
    """The message names no place that is gone when a person reads it."""
    words = ["CLONE", "gopher://x/y", f"localhost:{one}/var/7/disk.0", "--model", "nfs"]
    message = block(tm_ansible("run", *words, location=one).stderr)
    assert "the scheme gopher is none of ftp, http, https" in message
    assert "tm_schemes_dir" in message


def test_a_directory_that_is_gone_is_told_in_a_block(one: Path) -> None:
    """Whoever is still in it gets no traceback."""
    gone = one.parent / "gone"
    gone.mkdir()
    words = [*COMMAND, "run", "DELETE", "n:/x", "--model", "nfs", "-i", "hosts"]
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *words],
        cwd=gone,
        env=environment_of(one),
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "No such file or directory" in block(done.stderr)


def test_a_file_name_with_blanks_is_one_argument(one: Path) -> None:
    """Here words are words: nothing splits them."""
    source = one.parent / "an image; $(id)"
    source.write_bytes(b"x" * 512)
    target = one / "var/7/images/a disk"
    words = ["CLONE", f"localhost:{source}", f"localhost:{target}", "--model", "nfs"]
    done = tm_ansible("run", *words, location=one)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == source.read_bytes()


def test_a_map_of_the_site_is_used(one: Path) -> None:
    """--map names it as oned.conf does; its action scripts and inventories hold."""
    etc = one / "etc/tm_site"
    etc.mkdir(parents=True)
    (etc / "tm_site.conf").write_text("DELETE = gone.sh\n")
    (etc / "gone.sh").write_text('#!/bin/sh\n. "$TM_COMMON"\nlog "$1 is gone"\n')
    (etc / "gone.sh").chmod(0o755)
    done = tm_ansible("run", "DELETE", "n:/x", "--map", "tm_site/tm_site.conf", location=one)
    assert done.returncode == 0, done.stderr
    assert "DELETE n: n:/x is gone\n" in done.stdout


def test_a_transfer_script_is_carried_out_in_order(one: Path) -> None:
    """The first failure ends it; what came before is done."""
    var = one / "var"
    script = one.parent / "transfer"
    script.write_text(
        f"CLONE fe:{one.parent}/image n:{var}/7/images/disk.0\n# a comment\n"
        f"LN fe:/nosuch n:{var}/7/images/disk.1\nMKSWAP 1 n:{var}/7/images/disk.2\n"
    )
    (one.parent / "hosts").write_text("fe ansible_connection=local\n")
    words = [str(script), "--vm", "7", "--model", "nfs", "-i", str(one.parent / "hosts")]
    done = tm_ansible("transfer", *words, location=one)
    assert done.returncode == 1
    assert block(done.stderr).startswith("LN n: ")
    assert (var / "7/images/disk.0").is_file()
    assert not (var / "7/images/disk.2").exists()


def test_an_empty_script_succeeds_and_a_missing_one_fails(one: Path) -> None:
    """As it is with the driver."""
    empty = one.parent / "empty"
    empty.write_text("\n# nothing\n")
    assert tm_ansible("transfer", str(empty), "--model", "nfs", location=one).returncode == 0
    done = tm_ansible("transfer", "/nosuch", "--model", "nfs", location=one)
    assert done.returncode == 2
    assert "/nosuch does not exist" in block(done.stderr)


def test_it_works_as_an_action_script_of_a_driver(one: Path) -> None:
    """Descriptor 2 is closed, signals are blocked, the locale is C."""
    disk = one / "var/7/images/disk.2"
    command = [*COMMAND, "run", "MKSWAP", "1", f"localhost:{disk}", "--model"]
    process = as_oned(command, "nfs", environment_of(one) | {"LC_ALL": "C"}, one / "var")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.startswith(b"MKSWAP localhost: ")
    assert disk.stat().st_size == 1 << 20


def slow_site(one: Path) -> Path:
    """Make a map whose DELETE takes for ever, and give the file that will have its process id."""
    etc, pid_file = one / "etc/tm_slow", one.parent / "pid"
    etc.mkdir(parents=True)
    (etc / "tm_slow.conf").write_text("DELETE = slow.sh\n")
    (etc / "slow.sh").write_text(
        f"#!/bin/sh\nsleep 300 &\necho $! >{pid_file}.new\nmv {pid_file}.new {pid_file}\nwait\n"
    )
    (etc / "slow.sh").chmod(0o755)
    return pid_file


ENDS = [
    signal.SIGTERM,
    pytest.param(signal.SIGINT, marks=pytest.mark.long),
    pytest.param(signal.SIGKILL, marks=pytest.mark.long),
]


@pytest.mark.parametrize("number", ENDS)
def test_nothing_is_left_when_it_is_told_to_end(one: Path, number: signal.Signals) -> None:
    """An orderly end has its block; a kill leaves no process either."""
    pid_file, temporary = slow_site(one), {"TMPDIR": str(one.parent)}
    script = one.parent / "transfer"
    script.write_text("DELETE n:/x\n")
    with subprocess.Popen(
        [*COMMAND, "transfer", str(script), "--map", "tm_slow"],
        env=environment_of(one) | temporary,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(pid_file.exists, 60)
        pid = int(pid_file.read_text())
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        if number is signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 1
            assert block(errors) == "DELETE n: cancelled"
        wait_until(lambda: not alive(pid))
    words = ["MKSWAP", "1", f"n:{one}/var/7/disk", "--model", "nfs"]
    assert tm_ansible("run", *words, location=one, more=temporary).returncode == 0
    assert not list(one.parent.glob("tm_ansible.*"))
    assert not list(one.parent.glob("tm-*"))


def test_a_terminal_gets_colours_and_times(one: Path) -> None:
    """A person sees how long it took; the exit rules are the same."""
    status, shown = at_a_terminal(one)
    assert status == 0
    assert b"\x1b[" in shown
    assert b"MKSWAP localhost" in shown
    assert b"done" in shown


def test_a_terminal_is_left_as_it_was(one: Path) -> None:
    """Also where no run could be started: the cursor is there again, and the reason whole."""
    status, shown = at_a_terminal(one, TMPDIR=f"{one}/nowhere")
    assert status == 1
    assert b"no directory for temporary files" in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")


def at_a_terminal(one: Path, **more: str) -> tuple[int, bytes]:
    """Run an action at a terminal; give its exit status and all that it showed."""
    controller, terminal = pty.openpty()
    words = ["run", "MKSWAP", "1", f"localhost:{one}/var/7/images/disk.2", "--model", "nfs"]
    with subprocess.Popen(
        [*COMMAND, *words],
        env=environment_of(one) | {"TERM": "xterm", "COLUMNS": "200"} | more,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = read_all(controller)
        return process.wait(timeout=30), shown


def read_all(descriptor: int) -> bytes:
    """Read what a terminal shows until its last user has gone."""
    shown, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        select.select([descriptor], [], [], 1)
        try:
            shown += os.read(descriptor, 65536)
        except OSError:
            break
    os.close(descriptor)
    return shown
