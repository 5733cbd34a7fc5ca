"""The collection on Python's path, and playbooks run as a person runs them."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from worlds import ROOT, Cloud, Dumper, Played, data

sys.path.insert(0, str(ROOT / ".collections"))


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Played]:
    """Give a function that runs a playbook of ours by its path, from another directory."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(
        name: str,
        variables: dict[str, Any],
        *options: str,
        environment: dict[str, str] | None = None,
    ) -> Played:
        values = {key: data(value) for key, value in variables.items()}
        (elsewhere / "variables.yml").write_text(yaml.dump(values, Dumper=Dumper))
        path = ROOT / "playbooks" / f"{name}.yml"
        argv = ["ansible-playbook", "-v", str(path), "-e", "@variables.yml", *options]
        settings = {
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "LC_ALL": "C.UTF-8",
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(tmp_path),
        }
        done = subprocess.run(
            argv,
            cwd=elsewhere,
            env=settings | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Played(done.returncode, done.stdout)

    return run


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    """Give an empty cloud."""
    repository, var, vms = (tmp_path / name for name in ("repository", "var", "vms"))
    for directory in (repository, var, vms):
        directory.mkdir()
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("node1 ansible_connection=local\nnode2 ansible_connection=local\n")
    return Cloud(tmp_path, repository, var, vms, inventory)


@pytest.fixture
def image(cloud: Cloud) -> Path:
    """Give an image of 3 MiB with a hole in its middle."""
    path = cloud.repository / "base.img"
    with path.open("wb") as stream:
        stream.write(os.urandom(1 << 20))
        stream.seek(1 << 20, os.SEEK_CUR)
        stream.write(os.urandom(1 << 20))
    return path


@pytest.fixture
def other_fs() -> Iterator[Path]:
    """Give a directory on another file system."""
    path = Path("/dev/shm") / f"tm-{uuid.uuid4()}"
    path.mkdir()
    if path.stat().st_dev == Path(__file__).stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    yield path
    shutil.rmtree(path)
