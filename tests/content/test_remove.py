"""DELETE: exactly what is meant, or a refusal."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import (
    entries,
    mounts,
    policy,
    removal,
    remove,
    temporary,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from hypothesis import given
from hypothesis import strategies as st
from worlds import names


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """Give an allowed directory with a VM's images and a neighbour's."""
    for vm in ("7", "8"):
        (tmp_path / "var" / vm / "images").mkdir(parents=True)
        (tmp_path / "var" / vm / "images" / "disk.0").write_bytes(b"x" * 8192)
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "var" / "7" / "images" / "link").symlink_to("../../../outside")
    return tmp_path / "var"


def run(path: object, var: Path, check: bool = False) -> dict:
    """Remove in process, as the module does."""
    return remove.run({"path": str(path), "allowed_dirs": [str(var)]}, check)


def test_a_tree_goes_with_its_links_and_nothing_else(var, tmp_path):
    """The log counts; link targets, neighbours and the VM's directory stay."""
    result = run(f"{var}//7/images", var)
    assert result["tm_log"] == [f"deleted {var}/7/images (2 files, 8.0 KiB)"]
    assert names(var / "7") == []
    assert (tmp_path / "outside").read_text() == "mine"
    assert (var / "8" / "images" / "disk.0").exists()


def test_what_is_gone_is_no_failure(var):
    """A repeated script succeeds and changes nothing."""
    run(var / "7" / "images", var)
    assert run(var / "7" / "images", var)["changed"] is False


def test_a_link_is_removed_not_its_target(var, tmp_path):
    """Even one to a directory."""
    (tmp_path / "precious").mkdir()
    (var / "7" / "there").symlink_to(tmp_path / "precious")
    run(var / "7" / "there", var)
    assert (tmp_path / "precious").is_dir()
    assert not (var / "7" / "there").is_symlink()


@contextlib.contextmanager
def writer(image: Path, seconds: float) -> Iterator[None]:
    """Have another process make an image for some time, as actions do."""
    part = Path(temporary.temporary_name(str(image)))
    part.touch()
    script = 'exec 9<>"$0" && flock 9 && echo held && exec sleep "$1"'
    command = ["sh", "-c", script, str(part), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


@pytest.mark.parametrize("path", ["7", "7/images", "7/images/disk.0", "7/images/new"])
def test_what_is_still_being_written_is_waited_for(var, path):
    """An action that was cancelled ends first; nothing can come back, or appear."""
    began = time.monotonic()
    name = Path(path).name if path.count("/") > 1 else "disk.0"
    with writer(var / "7" / "images" / name, 1):
        assert run(var / path, var)["changed"] is (name != "new")
        assert time.monotonic() - began > 0.9
    assert not (var / path).exists()


def test_what_was_proven_is_judged_behind_the_wait(var):
    """A writer may end by giving its image the name."""
    disk = var / "7" / "images" / "disk.0"
    proven = entries.scan(str(disk)).state()
    part = temporary.temporary_name(str(disk))
    script = 'exec 9<>"$0" && flock 9 && echo held && sleep 1 && mv "$0" "$1"'
    with subprocess.Popen(["sh", "-c", script, part, str(disk)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(TmError, match="no longer what was copied"):
            remove.run({"path": str(disk), "allowed_dirs": [str(var)], "proven": proven}, False)
    assert disk.read_bytes() == b""


def test_what_does_not_end_is_told(var, monkeypatch):
    """Nothing is removed from under a process that writes."""
    monkeypatch.setattr(remove, "WAIT_SECONDS", 0.2)
    with writer(var / "7" / "images" / "disk.0", 60):
        with pytest.raises(TmError, match="images is still being written"):
            run(var / "7" / "images", var)
        assert run(var / "8" / "images", var)["changed"]
    assert (var / "7" / "images" / "disk.0").exists()


def test_check_mode_removes_nothing(var):
    """It counts what would go."""
    result = run(var / "7" / "images", var, check=True)
    assert result["tm_log"] == [f"would delete {var}/7/images (2 files, 8.0 KiB)"]
    assert (var / "7" / "images" / "disk.0").exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "it is empty"),
        ("/", "root of the file system"),
        ("//", "root of the file system"),
        ("7/images", "not an absolute path"),
        ("{var}/7/../8", "'..'"),
        ("{var}/7\n/images", "control characters"),
        ("{var}", "allowed_dirs"),
        ("{var}/", "allowed_dirs"),
        ("{var}/.", "allowed_dirs"),
        ("{var}-other/7", "allowed_dirs"),
        ("{outside}", "allowed_dirs"),
        ("{var}/escape/outside", "really"),
    ],
)
def test_what_is_not_below_an_allowed_directory_is_refused(var, tmp_path, path, reason):
    """Each rule has its own words, and nothing is touched."""
    (var / "escape").symlink_to(tmp_path)
    with pytest.raises(TmError, match=reason):
        run(path.format(var=var, outside=tmp_path / "outside"), var)
    assert (tmp_path / "outside").exists()
    assert (var / "8" / "images" / "disk.0").exists()


def test_without_allowed_directories_nothing_goes(var):
    """Nor does an allowed ``/`` allow anything."""
    for allowed in ([], ["/"], [""], ["var"]):
        with pytest.raises(TmError, match="allowed_dirs"):
            remove.run({"path": str(var / "7"), "allowed_dirs": allowed}, False)


@given(st.text(max_size=40))
def test_no_text_at_all_leads_out(text):
    """Whatever the path, it is refused or really lies below the allowed directory."""
    try:
        real = policy.check_removable(text, policy.Policy(["/nonexistent/var"]))
    except TmError as error:
        assert "\n" not in error.message  # noqa: PT017
    else:
        assert real.startswith("/nonexistent/var/")


def test_a_directory_that_becomes_a_link_meanwhile_is_an_error(var, tmp_path):
    """The way down was judged before; it is walked without following links."""
    real = policy.check_removable(str(var / "7" / "images"), policy.Policy([str(var)]))
    (var / "7").rename(var / "old")
    (tmp_path / "victim" / "images").mkdir(parents=True)
    (var / "7").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        removal.remove(real)
    assert (tmp_path / "victim" / "images").is_dir()


def test_an_interrupted_removal_is_finished_by_the_next(var):
    """The tree has its name of ours by then."""
    images = var / "7" / "images"
    images.rename(removal.doomed_name(str(images)))
    assert run(images, var)["changed"] is True
    assert names(var / "7") == []


def test_what_changed_since_it_was_copied_stays(var):
    """Its copy is no longer proven; what is as it was goes."""
    images = var / "7" / "images"
    proven = entries.scan(str(images)).state()
    with (images / "disk.0").open("ab") as stream:
        stream.write(b"late")
    params = {"path": str(images), "allowed_dirs": [str(var)], "proven": proven}
    for check in (True, False):
        with pytest.raises(TmError, match="no longer what was copied"):
            remove.run(params, check)
    assert (images / "disk.0").read_bytes().endswith(b"late")
    remove.run(dict(params, proven=entries.scan(str(images)).state()), False)
    assert not images.exists()


@pytest.mark.parametrize("many", [5000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_deep_tree_and_many_files_go(var, many):
    """All of them are counted."""
    deep = var / "7" / "images" / Path(*["d"] * 100)
    deep.mkdir(parents=True)
    for number in range(many):
        (deep / str(number)).touch()
    assert run(var / "7" / "images", var)["files"] == many + 2
    assert names(var / "7") == []


@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_mount_point_below_is_refused_and_everything_stays(var, tmp_path, kind):
    """A bind mount has the same device number and is seen all the same; what is in it stays too."""
    mount = var / "7" / "images" / "a mount"
    mount.mkdir()
    options = ["-t", "tmpfs", "tmpfs"] if kind == "tmpfs" else ["--bind", str(var / "8")]
    made = subprocess.run(["mount", *options, str(mount)], check=False, capture_output=True)
    if made.returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        with pytest.raises(TmError, match=r"a mount is a mount point, .*whatever the settings; "):
            run(var / "7" / "images", var)
        assert str(mount) in mounts.mount_points()
        assert (var / "7" / "images" / "disk.0").exists()
        (mount / "file").touch()
        with pytest.raises(TmError, match=rf"on what is mounted at {mount}, .*unmount that first"):
            run(mount / "file", var)
        assert (mount / "file").exists()
        allowed = [str(var), str(mount)]
        remove.run({"path": str(mount / "file"), "allowed_dirs": allowed}, False)
        assert not (mount / "file").exists()
    finally:
        subprocess.run(["umount", str(mount)], check=True)
    assert (var / "8" / "images" / "disk.0").exists()
