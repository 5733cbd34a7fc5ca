"""The playbook that runs action scripts, by the guide's rules."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds import ROOT, Played

from tests.support.processes import alive, parent, wait_until

Play = Callable[..., Played]
ENVIRONMENT = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections")}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Give a function that writes an executable script and returns its path."""

    def write_script(text: str) -> str:
        path = tmp_path / "site action.sh"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    return write_script


@pytest.fixture
def run(play: Play) -> Callable[..., Played]:
    """Give a function that runs playbooks/script.yml."""

    def run_script(path: str, *words: str, options: tuple[str, ...] = ()) -> Played:
        arguments = json.dumps({"tm_arguments": [{"__ansible_unsafe": word} for word in words]})
        variables = {"tm_script": path}
        return play("script", variables, "-e", arguments, *options, environment=ENVIRONMENT)

    return run_script


def shown(played: Played) -> list[str]:
    """Give the lines for the VM's log that were shown while the script ran."""
    lines = played.output.splitlines()
    return [line.removeprefix("tm_log: ") for line in lines if line.startswith("tm_log: ")]


def test_each_line_of_stdout_goes_to_the_log(run: Play, write: Callable[[str], str]) -> None:
    """Lines arrive in order, without control characters, the last one without a newline too."""
    played = run(write("#!/bin/sh\nprintf 'one\\n\\033[31mtwo\\r\\nthree'"))
    assert shown(played.succeeded()) == ["one", " [31mtwo", "three"]


def test_words_reach_the_script_as_they_are(run: Play, write: Callable[[str], str]) -> None:
    """No word is a template, an option, or more than one word."""
    words = ("fe:/a b", "{{ 1 + 1 }}", "$(id)", "-x", "*", "'")
    played = run(write('#!/bin/sh\nprintf "<%s>\\n" "$@"'), *words)
    assert shown(played.succeeded()) == [f"<{word}>" for word in words]


BLOCK = r"ERROR MESSAGE --8<------\nno space\nERROR MESSAGE ------>8--\nafter\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"echo noise >&2; printf '{BLOCK}' >&2; exit 1", "no space"),
        ("echo first >&2; echo last >&2; exit 1", "last"),
        ("exit 3", "site action.sh ended with status 3"),
        ("kill -9 $$", "site action.sh was ended by signal 9"),
    ],
)
def test_a_failure_has_the_reason_that_the_script_gave(
    run: Play, write: Callable[[str], str], body: str, reason: str
) -> None:
    """The error block is best, then the last line of stderr, then the exit code."""
    played = run(write(f"#!/bin/sh\n{body}"))
    assert played.status == 2
    assert f'"msg": "{reason}"' in played.output


def test_an_error_block_of_a_script_that_succeeds_is_no_failure(
    run: Play, write: Callable[[str], str]
) -> None:
    """The exit code alone decides."""
    run(write("#!/bin/sh\necho 'ERROR MESSAGE --8<------' >&2\nexit 0")).succeeded()


def test_a_script_without_an_interpreter_line_is_run_by_sh(
    run: Play, write: Callable[[str], str]
) -> None:
    """As the stock driver's shell did it."""
    assert shown(run(write("echo from sh")).succeeded()) == ["from sh"]


def test_a_script_that_is_not_executable_is_refused_with_the_remedy(
    run: Play, write: Callable[[str], str]
) -> None:
    """The message names the file."""
    path = write("#!/bin/sh\n")
    Path(path).chmod(0o644)
    played = run(path)
    assert played.status == 2
    assert f"{path} is not executable; chmod +x it" in played.output


def test_check_mode_tells_and_does_nothing(
    run: Play, write: Callable[[str], str], tmp_path: Path
) -> None:
    """The command line is told."""
    words = ("a", "ftp://me:s3cret@host/a")
    played = run(write(f"#!/bin/sh\ntouch {tmp_path}/done"), *words, options=("--check",))
    assert "would run site action.sh a ftp://host/a" in played.succeeded().output
    assert "s3cret" not in played.output
    assert not (tmp_path / "done").exists()


def test_too_many_lines_and_too_long_ones_are_cut(run: Play, write: Callable[[str], str]) -> None:
    """The log is bounded, and says so."""
    played = run(write("#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' x; echo; seq 20000"))
    lines = shown(played.succeeded())
    assert len(lines) == 10000
    assert lines[0].endswith("x [cut]")
    assert len(lines[0]) < 20000
    assert "tm_log W: 10001 more lines left out" in played.output


def test_what_a_script_leaves_behind_ends_with_it(
    run: Play, write: Callable[[str], str], tmp_path: Path
) -> None:
    """A process in the background neither delays the end nor outlives it."""
    start = time.monotonic()
    run(write(f"#!/bin/sh\nsleep 300 &\necho $! >{tmp_path}/pid")).succeeded()
    assert time.monotonic() - start < 30
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_script_ends_when_ansible_is_killed(write: Callable[[str], str], tmp_path: Path) -> None:
    """Whatever happens to Ansible's worker, nothing of the script lives on."""
    lines = ("#!/bin/sh", "sleep 300 &", "echo $! $$ >new", "mv new pids", "wait")
    path = write(
        "\n".join(lines).replace("new", f"{tmp_path}/new").replace("pids", f"{tmp_path}/pids")
    )
    with subprocess.Popen(
        ["ansible", "localhost", "-m", "one.tm.script", "-a", f"path='{path}'"],
        env={**os.environ, **ENVIRONMENT, "ANSIBLE_HOME": str(tmp_path / "ansible")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as ansible:
        wait_until((tmp_path / "pids").exists)
        pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
        os.kill(parent(pids[1]), signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in pids))
        ansible.kill()
