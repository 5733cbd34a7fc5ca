"""Python interpreters of this machine that are older than the one that runs the tests."""

import os
import re
import shutil
from pathlib import Path

from ansible.module_utils import basic


def old_pythons() -> list[str]:
    """Find the interpreters from 3.6 to 3.9 that this machine has, the oldest first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(path) for path in sorted(pyenv.glob("3.[6-9].*/bin/python3"))]
    names = [shutil.which(f"python3.{minor}") for minor in range(6, 10)]
    return found + [name for name in names if name and "shims" not in name]


def oldest_minor_of_hosts() -> int:
    """Tell which 3.x the installed ansible-core asks of hosts, as its ``basic.py`` has it."""
    match = re.search(r"_PY3?_MIN = .*?\(3, (\d+)\)", Path(basic.__file__).read_text())
    assert match
    return int(match[1])


def oldest_of_hosts() -> str | None:
    """Find the oldest interpreter that the installed ansible-core allows on hosts."""
    minor = oldest_minor_of_hosts()
    return next((each for each in old_pythons() if re.search(rf"3\.{minor}\b", each)), None)
