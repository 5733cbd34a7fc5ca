"""What runs on hosts, run by interpreters as old as a host may have."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.plugin_utils import farside
from worlds import tree

MIB = 1 << 20
IMAGE: dict[str, Any] = {"mode": "a+w", "owner": None, "group": None, "source_dirs": []}


def old_pythons() -> list[str]:
    """Find the interpreters from 3.6 to 3.9 that this machine has."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(path) for path in sorted(pyenv.glob("3.[6-9].*/bin/python3"))]
    names = [shutil.which(f"python3.{minor}") for minor in range(6, 10)]
    return found + [name for name in names if name and "shims" not in name]


@pytest.fixture(params=old_pythons() or [""], ids=lambda path: Path(path).parents[1].name)
def python(request: pytest.FixtureRequest) -> str:
    """Give an old interpreter."""
    if not request.param:
        pytest.skip("no Python from 3.6 to 3.9 is installed (python3.6, or by pyenv)")
    return str(request.param)


def last_message(output: bytes) -> dict[str, Any]:
    """Give the last message behind the magic line."""
    _noise, magic, messages = output.rpartition(frames.MAGIC)
    assert magic
    return dict(json.loads(messages.splitlines()[-1]))


def take(python: str, logic: str, **params: Any) -> dict[str, Any]:
    """Take a step as an action does on a host."""
    done = subprocess.run(
        ["/bin/sh", "-c", farside.command(python)],
        input=farside.program("step", logic, params, False),
        capture_output=True,
        check=True,
    )
    result = dict(last_message(done.stdout)["result"])
    assert "failed" not in result, result
    return result


def test_every_step_of_a_vms_life(python: str, tmp_path: Path) -> None:
    """Clone, link, make, move, and delete."""
    base, vm = tmp_path / "base.img", tmp_path / "7" / "images"
    base.write_bytes(os.urandom(MIB) + bytes(MIB))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "motd").touch()
    allowed = {"allowed_dirs": [str(tmp_path)]}
    empty = {"source": None, "uuid": None, "slack_percent": 20, "filesystem": "ext4"}
    files = {**empty, "source": str(tmp_path / "files")}
    steps: list[tuple[str, str, dict[str, Any]]] = [
        ("clone", "disk.0", {"source": str(base)}),
        ("link", "disk.1", {"source": str(base)}),
        ("mkswap", "disk.2", {"size_mib": 1}),
        ("mkimage", "disk.3", {**empty, "size_mib": 8}),
        ("mkimage", "disk.4", files),
    ]
    for logic, name, params in steps:
        whole = {**IMAGE, **params, "destination": str(vm / name)}
        assert take(python, logic, **whole)["changed"], logic
        assert not take(python, logic, **whole)["changed"], logic
    assert (vm / "disk.0").read_bytes() == base.read_bytes()
    saved = str(tmp_path / "7" / "disk.0")
    take(python, "move", source=str(vm / "disk.0"), destination=saved, into=True, **allowed)
    take(python, "remove", path=str(vm), proven=None, **allowed)
    assert tree(tmp_path / "7") == ["disk.0"]


def test_an_image_comes_over(python: str, tmp_path: Path) -> None:
    """A directory of images goes from one program to the other."""
    images = tmp_path / "from" / "images"
    images.mkdir(parents=True)
    (images / "disk.0").write_bytes(os.urandom(MIB) + bytes(MIB) + b"end")
    (images / "disk.1").symlink_to("/srv/data.img")
    rules = {"allowed_dirs": [str(tmp_path)], "source_dirs": [], "move": True}
    config = {"source": str(images), "directories": True, **rules}
    place = {**IMAGE, **rules, "destination": str(tmp_path / "to"), "into": False, "check": False}
    command = ["/bin/sh", "-c", f"exec {farside.command(python)}"]
    answer = {"send": True, "marker": ".tm-none", "name": "to"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sender:
        assert sender.stdin
        assert sender.stdout
        sender.stdin.write(farside.program("stream", "send", config))
        sender.stdin.write(json.dumps(answer).encode() + b"\n")
        sender.stdin.flush()
        stream = sender.stdout.read()
        sender.stdin.close()
    program = farside.program("stream", "receive", place)
    done = subprocess.run(command, input=program + stream, capture_output=True, check=True)
    assert last_message(done.stdout)["result"]["changed"]
    assert (tmp_path / "to" / "disk.0").read_bytes() == (images / "disk.0").read_bytes()
    assert tree(tmp_path / "to") == ["disk.0", "disk.1"]
