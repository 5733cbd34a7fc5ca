"""Runs ``tm-ansible`` as a person, cron or another program would."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tm_ansible.cli"]


def environment_of(location: Path | None) -> dict[str, str]:
    """Give an environment as short as cron's.

    Args:
        location: ``$ONE_LOCATION``, or None for a system-wide installation.
    """
    base = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": os.environ.get("HOME", "/")}
    return base | ({"ONE_LOCATION": str(location)} if location else {})


def tm_ansible(
    *words: str, location: Path | None = None, more: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end.

    Args:
        words: of the command line.
        location: ``$ONE_LOCATION``.
        more: further variables of the environment.

    Returns:
        Its exit status and what it wrote.
    """
    return subprocess.run(
        [*COMMAND, *words],
        env=environment_of(location) | dict(more or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
