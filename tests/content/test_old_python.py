"""What runs on hosts, run by interpreters as old as a host may have."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import entries, frames
from ansible_collections.one.tm.plugins.plugin_utils import farside
from worlds import ANYWHERE, make_deep, tree

from tests.support.interpreters import old_pythons

MIB = 1 << 20
IMAGE: dict[str, Any] = {"mode": "a+w", "owner": None, "group": None, "source_dirs": []}
IMAGE["allowed_dirs"] = ANYWHERE


@pytest.fixture(params=old_pythons() or ["none"], ids=lambda path: path.split("/")[-3:][0])
def python(request: pytest.FixtureRequest) -> str:
    """Give an old interpreter."""
    if request.param == "none":
        pytest.skip("no Python from 3.6 to 3.9 is installed (python3.6, or by pyenv)")
    return str(request.param)


def last_message(output: bytes) -> dict[str, Any]:
    """Give the last message behind the magic line."""
    _noise, magic, messages = output.rpartition(frames.MAGIC)
    assert magic
    return dict(json.loads(messages.splitlines()[-1]))


def perform(python: str, logic: str, **params: Any) -> dict[str, Any]:
    """Take a step as an action does on a host; give its result, that it failed too."""
    done = subprocess.run(
        ["/bin/sh", "-c", farside.command(python)],
        input=farside.program("step", logic, params, False),
        capture_output=True,
        check=True,
    )
    return dict(last_message(done.stdout)["result"])


def take(python: str, logic: str, **params: Any) -> dict[str, Any]:
    """Take a step that succeeds."""
    result = perform(python, logic, **params)
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


def test_a_deep_tree(python: str, tmp_path: Path) -> None:
    """It is removed, and no proof of a copy of it is looked for."""
    make_deep(tmp_path / "7" / "images", 1100)
    params = {"path": str(tmp_path / "7"), "allowed_dirs": [str(tmp_path)]}
    assert "within more than 256 others" in perform(python, "remove", proven="x", **params)["msg"]
    assert take(python, "remove", proven=None, **params)["files"] == 12
    assert tree(tmp_path) == []


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img")
def test_an_image_that_builds_on_another(python: str, tmp_path: Path) -> None:
    """Its header and qemu-img are asked; what it must not name is refused."""
    base, image = tmp_path / "base.qcow2", tmp_path / "image.qcow2"
    for path, more in ((base, []), (image, ["-b", str(base), "-F", "qcow2"])):
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", *more, str(path), "4M"]
        subprocess.run(argv, check=True)
    params = {**IMAGE, "format": "probe", "source": str(image), "destination": f"{tmp_path}/disk.0"}
    refused = perform(python, "clone", **{**params, "source_dirs": [str(tmp_path / "images")]})
    assert "refused" in refused["msg"]
    assert take(python, "clone", **params)["changed"]
    assert (tmp_path / "disk.0").read_bytes() == image.read_bytes()


def send(python: str, source: Path, **rules: Any) -> bytes:
    """Give the stream of what a sender is asked for."""
    config = {"source": str(source), "directories": True, **rules}
    answer = {"send": True, "marker": ".tm-none", "name": "to"}
    command = ["/bin/sh", "-c", f"exec {farside.command(python)}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sender:
        assert sender.stdin
        assert sender.stdout
        sender.stdin.write(farside.program("stream", "send", config))
        sender.stdin.write(json.dumps(answer).encode() + b"\n")
        sender.stdin.flush()
        stream = sender.stdout.read()
        sender.stdin.close()
    return stream


def receive(
    python: str, stream: bytes, source: Path, destination: Path, **rules: Any
) -> dict[str, Any]:
    """Give what a receiver makes of a stream."""
    place = {**IMAGE, "source_host": "node1", "source": str(source), **rules}
    place.update(destination=str(destination), into=False, check=False)
    program = farside.program("stream", "receive", place)
    command = ["/bin/sh", "-c", farside.command(python)]
    done = subprocess.run(command, input=program + stream, capture_output=True, check=True)
    message = last_message(done.stdout)
    assert "result" in message, message
    return dict(message["result"])


def test_an_image_comes_over(python: str, tmp_path: Path) -> None:
    """A directory of images goes from one program to the other."""
    images = tmp_path / "from" / "images"
    images.mkdir(parents=True)
    (images / "disk.0").write_bytes(os.urandom(MIB) + bytes(MIB) + b"end")
    (images / "disk.1").symlink_to("/srv/data.img")
    rules = {"allowed_dirs": [str(tmp_path)], "source_dirs": [], "move": True}
    stream = send(python, images, **rules)
    assert receive(python, stream, images, tmp_path / "to", **rules)["changed"]
    assert (tmp_path / "to" / "disk.0").read_bytes() == (images / "disk.0").read_bytes()
    assert tree(tmp_path / "to") == ["disk.0", "disk.1"]


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an image so old that its times tell its states apart."""
    image = tmp_path_factory.mktemp("settled") / "base.img"
    image.write_bytes(os.urandom(MIB) + bytes(MIB))
    time.sleep(entries.SETTLED_SECONDS)
    return image


def test_the_second_image_comes_from_the_cache(python: str, settled: Path, tmp_path: Path) -> None:
    """What came is kept, and the next copy is made of it."""
    cache = {"directory": str(tmp_path / "cache"), "size_gib": 1, "age_days": 1}
    rules = {"allowed_dirs": [str(tmp_path)], "source_dirs": [], "move": False}
    stream = send(python, settled, **rules)
    for name, origins in (("disk.0", [""]), ("disk.1", ["copy", "reflink"])):
        result = receive(python, stream, settled, tmp_path / name, cache=cache, **rules)
        assert result["cached"] in origins
        assert (tmp_path / name).read_bytes() == settled.read_bytes()
