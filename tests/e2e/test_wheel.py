"""The wheel, alone in a virtual environment outside the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.oned import ROOT, Oned

pytestmark = pytest.mark.xdist_group("wheel")

# `make test` fills it with the project's wheel and those of what it depends on.
WHEELS = ROOT / ".cache" / "wheels"
COLLECTION = "ansible_collections/one/tm"


@pytest.fixture(scope="module")
def wheel() -> Path:
    """Give the wheel of the project."""
    wheels = sorted(WHEELS.glob("tm_ansible-*.whl"))
    if not wheels:
        pytest.skip(f"no wheels in {WHEELS}: run the tests with `make test`")
    return wheels[-1]


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the ``bin`` of a new virtual environment with nothing but the wheel and its needs."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-index"]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "--find-links", str(WHEELS), str(wheel)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return home / "bin"


def clean_environment(home: Path) -> dict[str, str]:
    """Give an environment in which only what is installed can be found."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"}


def test_contents(wheel: Path) -> None:
    """It holds the package and the collection, and neither tests nor links."""
    names = zipfile.ZipFile(wheel).namelist()
    content = [name.partition(f"{COLLECTION}/")[2] for name in names if COLLECTION in name]
    for path in ("playbooks", "roles", "plugins", "meta"):
        here = subprocess.run(
            ["git", "ls-files", path], cwd=ROOT, check=True, capture_output=True, text=True
        )
        tracked = {name for name in here.stdout.split() if not (ROOT / name).is_symlink()}
        assert tracked <= set(content)
    assert "galaxy.yml" in content
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "tm_ansible",
        "ansible_collections",
    }


def test_playbooks_by_name(binaries: Path, tmp_path: Path) -> None:
    """``ansible-playbook one.tm.nfs.clone`` clones from any directory."""
    (tmp_path / "a.img").write_bytes(b"image")
    variables = {
        "tm_source": f"localhost:{tmp_path}/a.img",
        "tm_destination": f"localhost:{tmp_path}/7/images/disk.0",
        "tm_allowed_dirs": [str(tmp_path / "7")],
    }
    subprocess.run(
        [str(binaries / "ansible-playbook"), "one.tm.nfs.clone", "-e", json.dumps(variables)],
        check=True,
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        stdin=subprocess.DEVNULL,
    )
    assert (tmp_path / "7" / "images" / "disk.0").read_bytes() == b"image"


def test_driver(binaries: Path, tmp_path: Path) -> None:
    """What ``tm-ansible install`` lays out drives a transfer as oned starts it."""
    environment = clean_environment(tmp_path)
    location = tmp_path / "one"
    subprocess.run(
        [str(binaries / "tm-ansible"), "install", "--one-location", str(location)],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    (tmp_path / "a.img").write_bytes(b"image")
    disk = location / "var" / "7" / "images" / "disk.0"
    with Oned(
        location,
        "tm_ansible_nfs/tm_ansible_nfs.conf",
        command=[str(location / "lib" / "mads" / "one_tm_ansible")],
        environment={"PYTHONPATH": "", "HOME": str(tmp_path)},
    ) as oned:
        done = oned.transfer(7, f"CLONE localhost:{tmp_path}/a.img localhost:{disk}\n")
        assert done.ok, done.reason
    assert disk.read_bytes() == b"image"
    assert str(ROOT) not in os.fsdecode(Path(binaries / "one_tm_ansible").read_bytes())
