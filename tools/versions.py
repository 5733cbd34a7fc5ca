#!/usr/bin/env python3
"""Run the end-to-end tests with each ansible-core on each Python that this machine has.

    tools/versions.py --cores "2.16 2.19" --pythons 3.12 --starts "cold warm" tests/e2e/test_life.py

Makes an environment for each pair below .cache/versions, with the newest ansible-runner 2.x, and
prints a table in Markdown and behind it the tests that failed. A pair that cannot be installed is
told with pip's own reason. What is not an option below is for pytest: tests in the place of ours,
and its own options.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".cache" / "versions"
PYTHONS = "3.10 3.11 3.12 3.13"
CORES = "2.16 2.17 2.18 2.19"
LIFE = ("tests/e2e/test_life.py", "tests/e2e/test_site.py", "tests/content/test_playbooks.py")
SHORT = (*LIFE, "-m", "long or not long")
WHOLE = (
    "tests/e2e",
    "tests/content/test_playbooks.py",
    "tests/content/test_sessions.py",
    "tests/content/test_old_python.py",
    "tests/unit/test_versions.py",
)
COLUMNS = ("ansible-core", "ansible-runner", "Python", "runs start", "what ran")
COLUMNS += ("passed", "failed", "skipped", "minutes")


def main() -> int:
    """Test each pair and print the table; exit status 1 if a pair that installs fails."""
    options, words = arguments()
    selected = words or (SHORT if options.short else WHOLE)
    row(*COLUMNS)
    row(*("---" for _ in COLUMNS))
    failed = [
        failure
        for interpreter in filter(None, map(find, options.pythons.split()))
        for core in options.cores.split()
        for failure in pair(interpreter, core, options, selected)
    ]
    print("", *failed, sep="\n")
    return 1 if failed else 0


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """Read the command line: our options, and the words for pytest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", default=CORES, help=f"releases of ansible-core: {CORES}")
    parser.add_argument("--pythons", default=PYTHONS, help=f"of this machine: {PYTHONS}")
    parser.add_argument("--starts", default="cold", help="how drivers start runs: cold, warm")
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(LIFE)}")
    parser.add_argument("--workers", default="auto", help="of pytest-xdist; 0 for one process")
    return parser.parse_known_args()


def find(name: str) -> str | None:
    """Find an interpreter on PATH or among pyenv's; tell if there is none."""
    minor = name.removeprefix("python")
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python3"))
    candidates = [*map(str, pyenv[-1:]), shutil.which(f"python{minor}")]
    found = next((each for each in candidates if each and runs(each)), None)
    if found is None:
        row("", "", minor, "", "not on this machine", *[""] * 4)
    return found


def runs(interpreter: str) -> bool:
    """Tell whether an interpreter can make environments; pyenv's shims may lead nowhere."""
    command = [interpreter, "-c", "import ensurepip, venv"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def pair(
    interpreter: str, core: str, options: argparse.Namespace, selected: Sequence[str]
) -> list[str]:
    """Test a pair, print its rows, and list what failed."""
    version = said([interpreter, "-c", "import platform; print(platform.python_version())"])
    place = ENVIRONMENTS / f"{version}-{core}"
    if problem := install(interpreter, place, core):
        row(core, "", version, "", f"does not install: {problem}", *[""] * 4)
        return []
    installed = said([str(place / "bin" / "python"), "-c", _INSTALLED]).split()
    failed = []
    for start in options.starts.split():
        counts, names = test(place, start, options.workers, selected)
        row(*installed, version, start, " ".join(selected), *counts)
        failed += [f"{installed[0]}, Python {version}, {start}: {name}" for name in names]
    return failed


def install(interpreter: str, place: Path, core: str) -> str:
    """Make an environment, and return pip's reason if it cannot be."""
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", str(place)], check=True)
    wanted = [f"ansible-core=={core}.*", "ansible-runner>=2.4,<3", f"{ROOT}[test]"]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    if needs := re.search(rf"{re.escape(core)}\.\d+ Requires-Python ([^;\s]+)", done.stderr):
        return f"it needs Python {needs[1]}"
    reasons = re.findall(r"(?m)^ERROR: (.*)", done.stderr)
    return (reasons or ["pip failed"])[-1][:200]


_INSTALLED = """
from importlib.metadata import version
print(version("ansible-core"), version("ansible-runner"))
"""


def test(
    place: Path, start: str, workers: str, selected: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Run pytest; give what is behind «what ran» in the table, and the tests that failed."""
    report, log = place / f"{start}.xml", place / f"{start}.log"
    report.unlink(missing_ok=True)
    command = [str(place / "bin" / "python"), "-m", "pytest", "-q", f"--junitxml={report}"]
    command += ["-n", workers, "--dist", "loadgroup", *selected]
    warm = {"TM_TEST_WARM": "1" if start == "warm" else "0"}
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | warm, stdout=output, stderr=output, check=False
        )
    if not report.exists():
        return ["", "", "", ""], [f"pytest ended with {done.returncode}: see {log}"]
    return read(report)


def read(report: Path) -> tuple[list[str], list[str]]:
    """Count a report of pytest's, and name the tests that failed."""
    suite = next(ElementTree.parse(report).iter("testsuite"))  # noqa: S314 - pytest wrote it
    cases = list(suite.iter("testcase"))
    bad = [each for each in cases if any(each.find(kind) is not None for kind in _FAILED)]
    skipped = [each for each in cases if each.find("skipped") is not None]
    passed = len(cases) - len(bad) - len(skipped)
    counts = [
        str(passed),
        str(len(bad)),
        str(len(skipped)),
        f"{float(suite.attrib['time']) / 60:.0f}",
    ]
    return counts, [f"{each.attrib['classname']}::{each.attrib['name']}" for each in bad]


_FAILED = ("failure", "error")


def said(command: list[str]) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def row(*cells: str) -> None:
    """Print a row of the table."""
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
