"""Swap images."""

import subprocess
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import mkswap, programs
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from worlds import ANYWHERE, names

MIB = 1 << 20


def run(destination: Path, size: int, check: bool = False) -> dict:
    """Make swap in process, as the module does."""
    params = {
        "destination": str(destination),
        "size_mib": size,
        "mode": "a+w",
        "allowed_dirs": ANYWHERE,
    }
    return mkswap.run(params, check)


def test_the_image_is_sparse_valid_and_made_once(tmp_path):
    """``swaplabel`` accepts it; the directory is made; a second run keeps the signature."""
    image = tmp_path / "7" / "disk.2"
    assert run(image, 16)["tm_log"] == ["made swap disk.2, 16.0 MiB"]
    subprocess.run(["/usr/sbin/swaplabel", str(image)], check=True, capture_output=True)
    assert (image.stat().st_size, image.stat().st_mode & 0o222) == (16 * MIB, 0o222)
    assert image.stat().st_blocks * 512 < MIB
    before = image.read_bytes()
    assert run(image, 16)["changed"] is False
    assert image.read_bytes() == before
    assert names(image.parent) == ["disk.2"]


def test_another_size_is_made_anew(tmp_path):
    """What is there is replaced as a whole."""
    run(tmp_path / "disk.2", 1)
    assert run(tmp_path / "disk.2", 2)["changed"] is True
    assert (tmp_path / "disk.2").stat().st_size == 2 * MIB


@pytest.mark.parametrize("size", [0, -1, 10_000_000_000])
def test_a_size_that_cannot_be_is_refused(tmp_path, size):
    """Nothing is made."""
    with pytest.raises(TmError, match=r"is no size|can ever hold"):
        run(tmp_path / "7" / "disk.2", size)
    assert not (tmp_path / "7").exists()


def test_a_missing_program_is_named_with_its_package(tmp_path, monkeypatch):
    """On a host without it nothing is made."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "PLACES", ())
    with pytest.raises(TmError, match=r"no program mkswap; install it .*package util-linux"):
        run(tmp_path / "7" / "disk.2", 1)
    assert not (tmp_path / "7").exists()


def test_a_program_that_fails_gives_its_last_line(tmp_path):
    """One MiB is refused by mkswap when it is a directory's size: here, a file of 4 KiB."""
    (tmp_path / "tiny").write_bytes(b"x" * 4096)
    with pytest.raises(TmError, match="mkswap failed: mkswap: error: swap area needs") as caught:
        programs.run([programs.find("mkswap", "util-linux"), "./tiny"], str(tmp_path))
    assert caught.value.detail


def test_check_mode_makes_nothing(tmp_path):
    """It says what would be done."""
    assert run(tmp_path / "disk.2", 1, check=True)["tm_log"] == ["would make swap disk.2, 1.0 MiB"]
    assert names(tmp_path) == []


def test_a_program_that_is_killed_is_told_so(tmp_path):
    """Its last line says nothing of that."""
    command = ["sh", "-c", "echo all is well; kill -9 $$"]
    with pytest.raises(TmError, match="sh was killed by signal 9"):
        programs.run(command, str(tmp_path))
