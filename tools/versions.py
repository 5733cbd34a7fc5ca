#!/usr/bin/env python3
"""Run the end-to-end tests with each ansible-core on each Python that this machine has.

    tools/versions.py [--pythons "python3.10 python3.12"] [--cores "2.16 2.19"] [PYTEST_WORD ...]

Makes an environment for each pair below .cache/versions, with the newest ansible-runner 2.x, and
prints a table in Markdown. A pair that cannot be installed is told with pip's own reason. What
follows is for pytest; tests/e2e and the content on old Pythons if nothing does.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".cache" / "versions"
PYTHONS = ("python3.10", "python3.11", "python3.12", "python3.13")
CORES = ("2.16", "2.17", "2.18", "2.19")
TESTS = ("tests/e2e", "tests/content/test_old_python.py", "tests/unit/test_versions.py")


def main() -> int:
    """Test each pair and print the table; exit status 1 if a pair that installs fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pythons", default=" ".join(PYTHONS))
    parser.add_argument("--cores", default=" ".join(CORES))
    options, tests = parser.parse_known_args()
    print("| ansible-core | ansible-runner | Python | what ran | result |\n|---|---|---|---|---|")
    results = [
        test(interpreter, core, tests or list(TESTS))
        for interpreter in filter(None, map(find, options.pythons.split()))
        for core in options.cores.split()
    ]
    return 0 if results and all(results) else 1


def find(name: str) -> str | None:
    """Find an interpreter on PATH or among pyenv's; tell if there is none."""
    minor = re.sub(r"\D*(\d+\.\d+)$", r"\1", name)
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python3"))
    candidates = [*map(str, pyenv[-1:]), shutil.which(name)]
    found = next((each for each in candidates if each and runs(each)), None)
    if found is None:
        print(f"| | | {name} | | not on this machine |", flush=True)
    return found


def runs(interpreter: str) -> bool:
    """Tell whether an interpreter can make environments; pyenv's shims may lead nowhere."""
    command = [interpreter, "-c", "import ensurepip, venv"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test(interpreter: str, core: str, arguments: list[str]) -> bool:
    """Test a pair, print its row, and tell whether nothing failed."""
    version = said([interpreter, "-c", "import platform; print(platform.python_version())"])
    place = ENVIRONMENTS / f"{version}-{core}"
    python = str(place / "bin" / "python")
    if problem := install(interpreter, place, core):
        row(core, "", version, "", f"does not install: {problem}")
        return True
    names = said([python, "-c", _VERSIONS]).split()
    command = [python, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadgroup", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    (place / "pytest.log").write_text(done.stdout + done.stderr)
    summary = (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")
    row(names[0], names[1], version, " ".join(arguments), summary)
    return done.returncode == 0


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
    reasons = re.findall(r"(?m)^ERROR: (.*)", done.stderr)
    return (reasons or ["pip failed"])[-1][:200]


_VERSIONS = """
from importlib.metadata import version
print(version("ansible-core"), version("ansible-runner"))
"""


def said(command: list[str]) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def row(*cells: str) -> None:
    """Print a row of the table."""
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
