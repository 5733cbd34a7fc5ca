"""A limit of bandwidth that several programs keep together."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.pace import SLACK_NS, Pacer
from worlds import ROOT

MIB = 1 << 20
NAME = f"one.tm-{os.geteuid()}"


def take(place: str, rate: float, count: int) -> None:
    """Let so many MiB through."""
    pacer = Pacer(rate, [place])
    for _ in range(count):
        pacer.take(MIB)


def program(code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start Python code that has a Pacer to hand."""
    head = "import sys; from ansible_collections.one.tm.plugins.module_utils.pace import Pacer\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".collections")},
    )


def test_four_programs_together_stay_within_the_limit(tmp_path: Path) -> None:
    """Four processes that move 10 MiB each at 40 MiB/s need a second together, not a quarter."""
    code = "p = Pacer(40, [sys.argv[1]]); sys.stdin.readline()\nfor _ in range(10): p.take(1 << 20)"
    programs = [program(code, str(tmp_path)) for _ in range(4)]
    time.sleep(0.3)
    begin = time.monotonic()
    for each in programs:
        assert each.stdin
        each.stdin.close()  # they begin
    for each in programs:
        assert each.stdout
        each.stdout.close()
        each.wait(30)
    assert [each.returncode for each in programs] == [0] * 4
    assert time.monotonic() - begin >= 1.0 - SLACK_NS / 1e9


def test_no_limit_costs_nothing(tmp_path: Path) -> None:
    """Without a limit nothing waits, and no file is made."""
    begin = time.monotonic()
    take(str(tmp_path), 0, 10000)
    assert time.monotonic() - begin < 10
    assert not list(tmp_path.iterdir())


def test_what_was_not_used_is_not_saved_up(tmp_path: Path) -> None:
    """After a pause the limit holds as before it."""
    waits: list[float] = []
    pacer = Pacer(10, [str(tmp_path)], waits.append)
    pacer.take(MIB)
    time.sleep(0.3)
    for _ in range(5):
        pacer.take(MIB)
    assert waits[-1] == pytest.approx(0.5, abs=0.1 + SLACK_NS / 1e9)


def test_a_reboot_makes_old_promises_void(tmp_path: Path) -> None:
    """What another boot has noted, or nobody can read, counts for nothing."""
    file = tmp_path / NAME / "pace"
    waits: list[float] = []
    take(str(tmp_path), 1000, 1)
    for text in (b"another-boot %020d\n" % 10**18, b"\xff\x00", b"", b"x" * 300):
        pacer = Pacer(1, [str(tmp_path)], waits.append)
        file.write_bytes(text)
        pacer.take(MIB)
    assert max(waits) <= 1.0


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    """Nobody else reads or writes it, whatever the umask."""
    before = os.umask(0)
    try:
        Pacer(1, [str(tmp_path)]).take(1)
    finally:
        os.umask(before)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / NAME / "pace").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["link", "open", "file", "foreign", "inner"])
def test_what_others_have_put_there_is_not_used(tmp_path: Path, kind: str) -> None:
    """A link, a file, or a directory of others in the place of ours is passed over."""
    bad, good, victim = tmp_path / "bad", tmp_path / "good", tmp_path / "victim"
    for path in (bad, good, victim):
        path.mkdir()
    place = bad / NAME
    if kind == "link":
        place.symlink_to(victim)
    elif kind == "file":
        place.touch()
    else:
        place.mkdir(mode=0o700)
        place.chmod(0o777 if kind == "open" else 0o700)
    if kind == "foreign":
        if os.geteuid() != 0:
            pytest.skip("a directory of another user needs root")
        os.chown(place, 1, 1)
    if kind == "inner":
        (place / "pace").symlink_to(victim / "pace")
    Pacer(1, [str(bad), str(good)]).take(1)
    assert (good / NAME / "pace").exists()
    assert not list(victim.iterdir())
    with pytest.raises(TmError, match=f"private directory {NAME} in .*bad; remove what is in"):
        Pacer(1, [str(bad)]).take(1)


def test_a_killed_program_holds_nobody_up(tmp_path: Path) -> None:
    """A program that is killed inside keeps no lock and no more than its last booking."""
    code = (
        "import fcntl; p = Pacer(1, [sys.argv[1]]); p.take(1)\n"
        "fcntl.flock(p._file, fcntl.LOCK_EX)\n"
        "print('in', flush=True); sys.stdin.read()"
    )
    with program(code, str(tmp_path)) as victim:
        assert victim.stdout
        assert victim.stdout.readline() == b"in\n"
        victim.kill()
    begin = time.monotonic()
    take(str(tmp_path), 100, 1)
    assert time.monotonic() - begin < 10
