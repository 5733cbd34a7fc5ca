"""The helper functions of action scripts, in both shells that /bin/sh may be."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

COMMON = Path(__file__).resolve().parents[2] / "tm_ansible" / "share" / "tm_common.sh"
OPENING, CLOSING = "ERROR MESSAGE --8<------", "ERROR MESSAGE ------>8--"
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]

pytestmark = pytest.mark.parametrize("shell", SHELLS)


def script(
    shell: str, text: str, *words: str, directory: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a script that has loaded the helper functions."""
    return subprocess.run(
        [shell, "-c", f'. "{COMMON}"\n{text}', "tm_test.sh", *words],
        capture_output=True,
        check=False,
        text=True,
        cwd=directory,
        timeout=20,
    )


def test_log_writes_its_parameter_as_it_is(shell: str) -> None:
    """Options, escapes and blanks are part of the message."""
    done = script(shell, 'log "$1"', r"-n  a\tb  %s $HOME")
    assert done.stdout == "-n  a\\tb  %s $HOME\n"


def test_error_message_stands_between_the_separators_on_stderr(shell: str) -> None:
    """The form is the guide's; the script goes on."""
    done = script(shell, 'error_message "File not found"; log on')
    assert done.stderr.splitlines() == [OPENING, "File not found", CLOSING]
    assert done.stdout == "on\n"


@pytest.mark.parametrize(
    ("argument", "host", "path"),
    [
        ("fe:/a/b", "fe", "/a/b"),
        ("fe:/a:b c", "fe", "/a:b c"),
        ("[2001:db8::1]:/a", "2001:db8::1", "/a"),
    ],
)
def test_an_argument_has_a_host_and_a_path(shell: str, argument: str, host: str, path: str) -> None:
    """The first colon parts them, or the one behind the bracket."""
    done = script(shell, 'arg_host "$1"; arg_path "$1"', argument)
    assert done.stdout.splitlines() == [host, path]


def test_exec_and_log_logs_what_it_has_executed(shell: str, tmp_path: Path) -> None:
    """A command line is split on blanks; its output is not logged."""
    done = script(shell, 'exec_and_log "mkdir -v  a b"; log end', directory=tmp_path)
    assert done.stdout.splitlines() == ['Executed "mkdir -v  a b".', "end"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_command_line_is_never_expanded(shell: str, tmp_path: Path) -> None:
    """What a shell would act upon is a part of the names."""
    done = script(shell, 'exec_and_log "touch $1"', "a;b$(id)*`id`&|'", directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a;b$(id)*`id`&|'"]


def test_globs_of_a_command_line_stay_literal(shell: str, tmp_path: Path) -> None:
    """A star in a path does not reach other files."""
    (tmp_path / "other").touch()
    (tmp_path / "*").touch()
    assert script(shell, 'exec_and_log "rm *"', directory=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_several_words_are_run_as_they_are(shell: str, tmp_path: Path) -> None:
    """This is the way for names with blanks."""
    done = script(shell, 'exec_and_log touch -- "$1"', "a  b", directory=tmp_path)
    assert done.stdout == 'Executed "touch -- a  b".\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a  b"]


@pytest.mark.parametrize("mode", ["", "set -e", "set -eu", "IFS=:"])
def test_a_failing_command_ends_the_script_with_its_error(shell: str, mode: str) -> None:
    """Its error is logged and becomes the error message, whatever the script has set."""
    done = script(shell, f'{mode}\nexec_and_log "ls /nosuch"; log never')
    error = done.stderr.splitlines()
    assert done.returncode == 2
    assert (error[0], error[-1]) == (OPENING, CLOSING)
    assert "No such file" in error[1]
    assert done.stdout.splitlines()[0] == 'ERROR: Command "ls /nosuch" failed.'
    assert "never" not in done.stdout


def test_a_silent_failure_has_a_reason_nevertheless(shell: str) -> None:
    """The command and its status are the message."""
    done = script(shell, 'exec_and_log "false"')
    assert done.stderr.splitlines()[1] == '"false" ended with status 1'


def test_a_command_in_time_is_like_any_other(shell: str) -> None:
    """The limit is not logged."""
    assert script(shell, 'timeout_exec_and_log 15 "true a"').stdout == 'Executed "true a".\n'


def test_a_command_out_of_time_is_ended(shell: str) -> None:
    """The message tells the limit."""
    start = time.monotonic()
    done = script(shell, 'timeout_exec_and_log 1 "sleep 30"')
    assert time.monotonic() - start < 10
    assert done.returncode == 124
    assert done.stderr.splitlines()[1] == '"sleep 30" did not end within 1 s'


def test_the_file_is_clean_for_shellcheck(shell: str) -> None:
    """A linter for shells finds nothing."""
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    dialect = "sh" if shell == "dash" else shell
    done = subprocess.run(
        ["shellcheck", "-s", dialect, str(COMMON)], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stdout
