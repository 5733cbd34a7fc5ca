"""A module's process ends, and tidies up, when nobody can hear of its result any more."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest
from worlds import ROOT, names

PROGRAM = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.one.tm.plugins.module_utils import files, lifeline, programs
lifeline.start()
with files.new_file(sys.argv[2]) as descriptor:
    os.write(descriptor, b"half")
    print("begun", flush=True)
    programs.run(["sh", "-c", "echo $$ > child; exec sleep 60"], os.path.dirname(sys.argv[2]))
"""
# The child runs for a second before its number is known.
LATE = """
import subprocess, time
class Popen(subprocess.Popen):
    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        time.sleep(1)
subprocess.Popen = Popen
"""


def is_running(pid: int) -> bool:
    """Tell whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("first", ["", LATE], ids=["later", "at once"])
@pytest.mark.parametrize("way", ["connection", "SIGTERM"])
def test_a_lost_process_ends_its_child_and_its_temporary_file(tmp_path, way, first):
    """Its reader goes, or it is told to end; within seconds nothing of it is left."""
    argv = [
        sys.executable,
        "-c",
        first + PROGRAM,
        str(ROOT / ".collections"),
        str(tmp_path / "disk.0"),
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        deadline = time.monotonic() + 20
        while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = int((tmp_path / "child").read_text())
        assert is_running(child)
        assert len(names(tmp_path)) == 2
        if way == "SIGTERM":
            process.terminate()
        else:
            process.stdout.close()
        assert process.wait(20) == 1
    deadline = time.monotonic() + 20
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert names(tmp_path) == ["child"]


def test_standard_output_that_is_a_file_is_no_lost_connection(tmp_path):
    """A module run by hand goes on to its end."""
    program = PROGRAM.replace("sleep 60", "sleep 1.2")
    argv = [sys.executable, "-c", program, str(ROOT / ".collections"), str(tmp_path / "disk.0")]
    with (tmp_path / "out").open("w") as out:
        assert subprocess.run(argv, stdout=out, check=False).returncode == 0
    assert (tmp_path / "out").read_text() == "begun\n"


@pytest.mark.parametrize("directory", ["modules", "module_utils"])
def test_what_runs_on_hosts_is_python_3_6(directory):
    """By its grammar; a host's Python may be that old."""
    sources = sorted((ROOT / "plugins" / directory).glob("*.py"))
    assert sources
    for path in sources:
        ast.parse(path.read_text(), str(path), feature_version=(3, 6))
        assert "from __future__ import annotations" not in path.read_text()
