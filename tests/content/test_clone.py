"""Clones: whole or absent, sparse, and not made twice."""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import streams
from ansible_collections.one.tm.plugins.module_utils import attributes, clone, copying, files, room
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, sentence
from worlds import ANYWHERE, names

MIB = 1 << 20


def run(source: Path, destination: Path, check: bool = False, **more: object) -> dict:
    """Clone in process, as the module does."""
    params = {"source": str(source), "destination": str(destination), "source_dirs": []}
    params["allowed_dirs"] = ANYWHERE
    return clone.run({**params, "mode": "a+w", **more}, check)


def digest(path: Path) -> str:
    """Return a digest of a file's contents."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give an image: data, a hole, zeros written as data, data."""
    path = tmp_path / "base.img"
    with path.open("wb") as stream:
        stream.write(os.urandom(MIB))
        stream.seek(8 * MIB)
        stream.write(bytes(8 * MIB))
        stream.write(os.urandom(MIB + 77))
    os.utime(path, ns=(1_000_000_007, 1_000_000_000_000_000_007))
    return path


def test_a_clone_has_the_contents_time_and_mode_that_are_asked_for(source, tmp_path):
    """The directory is made, the digest is equal, everybody may write, nothing else is left."""
    destination = tmp_path / "7" / "images" / "disk.0"
    result = run(source, destination)
    [sentence] = result["tm_log"]
    moved = r"copied base.img to disk.0, 17.0 MiB: 10.0 MiB moved in [0-9.]+ s, [0-9.]+ [MG]iB/s"
    assert re.fullmatch(moved, sentence)
    assert result["copy_seconds"] > 0
    assert digest(destination) == digest(source)
    assert destination.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert destination.stat().st_mode & 0o222 == 0o222
    assert destination.parent.stat().st_mode & 0o222 == 0o222
    assert names(destination.parent) == ["disk.0"]


def test_holes_and_zeros_take_no_room(source, tmp_path):
    """Of 17 MiB only the two with data are on the disk."""
    run(source, tmp_path / "disk.0")
    assert (tmp_path / "disk.0").stat().st_blocks * 512 < 3 * MIB


def test_a_second_run_changes_nothing(source, tmp_path):
    """Same size and time: the copy is known again and keeps its inode."""
    run(source, tmp_path / "disk.0")
    before = (tmp_path / "disk.0").stat()
    result = run(source, tmp_path / "disk.0")
    assert (result["changed"], result["tm_log"]) == (False, ["disk.0 is already complete"])
    assert (tmp_path / "disk.0").stat().st_ino == before.st_ino


def test_check_mode_makes_nothing(source, tmp_path):
    """It says what would be done and leaves no directory."""
    result = run(source, tmp_path / "7" / "disk.0", check=True)
    assert result["tm_log"] == ["would copy base.img to disk.0, 17.0 MiB"]
    assert not (tmp_path / "7").exists()


def test_an_empty_image_is_an_image(tmp_path):
    """A file of no bytes is copied as such."""
    (tmp_path / "empty").touch()
    run(tmp_path / "empty", tmp_path / "disk.0")
    assert (tmp_path / "disk.0").stat().st_size == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "does not exist"), ("directory", "is a directory"), ("fifo", "neither a file")],
)
def test_what_is_no_image_is_refused_with_its_own_reason(tmp_path, name, reason):
    """Nothing is made at the destination."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(TmError, match=reason):
        run(tmp_path / name, tmp_path / "7" / "disk.0")
    assert not (tmp_path / "7").exists()


def test_a_directory_at_the_destination_is_refused(source, tmp_path):
    """It is neither replaced nor filled."""
    (tmp_path / "disk.0").mkdir()
    with pytest.raises(TmError, match=r"disk\.0 is a directory"):
        run(source, tmp_path / "disk.0")


def test_a_link_at_the_destination_is_replaced_not_followed(source, tmp_path):
    """Its target keeps its contents."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "disk.0").symlink_to(tmp_path / "precious")
    run(source, tmp_path / "disk.0")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "disk.0").is_symlink()


def _received(source: Path, destination: Path) -> dict:
    return streams.copy(source, destination).result


@pytest.mark.parametrize("make", [run, _received])
def test_a_hard_link_at_the_destination_is_no_copy(source, tmp_path, make):
    """It may be another VM's disk, to which this one's guest would write."""
    other, destination = tmp_path / "other", tmp_path / "disk.0"
    shutil.copy2(source, other)
    destination.hardlink_to(other)
    assert make(source, destination)["changed"]
    assert not destination.samefile(other)
    assert digest(destination) == digest(other)


def test_a_hard_link_to_the_image_itself_is_no_copy(source, tmp_path):
    """A VM would write to what others are made of."""
    (tmp_path / "disk.0").hardlink_to(source)
    assert run(source, tmp_path / "disk.0")["changed"]
    assert not source.samefile(tmp_path / "disk.0")


def test_a_source_that_changes_meanwhile_fails_the_copy(source, tmp_path):
    """Nothing stands under the final name, and nothing under ours."""
    opened = copying.open_source(str(source))
    try:
        source.write_bytes(b"x" * source.stat().st_size)
        with pytest.raises(TmError, match="changed while it was copied"):
            copying.copy(opened, str(tmp_path / "7" / "disk.0"), attributes.Attributes())
    finally:
        os.close(opened.descriptor)
    assert names(tmp_path / "7") == []


def test_only_source_directories_are_read_when_a_site_sets_them(source, tmp_path):
    """A link out of them is followed before it is judged."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(source)
    with pytest.raises(TmError, match="source_dirs"):
        run(tmp_path / "allowed" / "link", tmp_path / "d", source_dirs=[str(tmp_path / "allowed")])


@pytest.mark.parametrize(
    "path", ["", "disk.0", "/", "/a/../b", "/a\nb", "//", "/" + "x" * 5000, "/a\x7fb"]
)
def test_a_destination_that_is_no_plain_path_is_refused(source, path):
    """Whatever is odd is refused in one line."""
    params = {"source": str(source), "destination": path, "allowed_dirs": ANYWHERE}
    with pytest.raises(TmError, match="refused the destination") as caught:
        clone.run(params, False)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "name", ["{{ 1+1 }}", "$(touch x)", "a'b\"c;d", "-rf", "`id`", "*", "\\", "ä\u202e", "%s"]
)
def test_odd_names_are_names(source, tmp_path, name):
    """They stand in the directory exactly as given."""
    run(source, tmp_path / "vm" / name)
    assert names(tmp_path / "vm") == [name]


@pytest.mark.parametrize(
    ("mode", "bits"), [("0640", 0o640), (0o600, 0o600), ("u=rw,go=", 0o600), ("a+w,o-r", 0o662)]
)
def test_a_mode_may_be_octal_or_symbolic(source, tmp_path, mode, bits):
    """A symbolic one changes what the umask leaves of 0666."""
    old = os.umask(0o022)
    try:
        run(source, tmp_path / "disk.0", mode=mode)
    finally:
        os.umask(old)
    assert (tmp_path / "disk.0").stat().st_mode & 0o7777 == bits


@pytest.mark.parametrize("more", [{"mode": "rw"}, {"owner": "no one"}, {"group": "no one"}])
def test_a_wrong_mode_or_owner_is_told_before_anything_is_copied(source, tmp_path, more):
    """Nothing is made."""
    with pytest.raises(TmError):
        run(source, tmp_path / "7" / "disk.0", **more)
    assert not (tmp_path / "7").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_and_group_apply_to_the_image_and_its_new_directories(source, tmp_path):
    """By name or number."""
    run(source, tmp_path / "a" / "b" / "disk.0", owner="daemon", group="4242")
    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "disk.0"):
        assert (path.owner(), path.stat().st_gid) == ("daemon", 4242)


def test_what_a_killed_run_left_is_replaced(source, tmp_path):
    """A file under our temporary name is no obstacle."""
    Path(files.temporary_name(str(tmp_path / "disk.0"))).write_text("half")
    run(source, tmp_path / "disk.0")
    assert names(tmp_path) == ["base.img", "disk.0"]


def test_two_runs_for_one_destination_do_not_meet(source, tmp_path):
    """The second one says so and leaves the first one's file alone."""
    destination = tmp_path / "disk.0"
    with files.new_file(str(destination)) as descriptor:
        os.write(descriptor, b"first")
        with pytest.raises(TmError, match="being made by another run"):
            run(source, destination)
        assert Path(files.temporary_name(str(destination))).read_bytes() == b"first"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 4 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mount)]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.root
def test_too_little_room_is_told_with_both_numbers(tmp_path, small):
    """Before anything is written."""
    source = tmp_path / "big.img"
    source.write_bytes(os.urandom(5 * MIB))
    with pytest.raises(TmError, match=r"no space in .*5242880 bytes\) needed, .*bytes\) free"):
        run(source, small / "disk.0")
    assert names(small) == []


@pytest.mark.root
def test_room_that_runs_out_meanwhile_is_told_and_given_back(tmp_path, small):
    """The reason names the file and what is free."""
    source = tmp_path / "big.img"
    source.write_bytes(os.urandom(3 * MIB))
    opened = copying.open_source(str(source))
    (small / "other").write_bytes(b"x" * 2 * MIB)
    with (
        pytest.raises(OSError, match="No space") as caught,
        files.new_file(str(small / "disk.0")) as descriptor,
    ):
        copying.copy_contents(opened, descriptor, str(small / "disk.0"))
    os.close(opened.descriptor)
    assert caught.value.errno == errno.ENOSPC
    assert f"{small}/disk.0: no space left" in sentence(caught.value)
    assert "bytes and" in sentence(caught.value)
    assert names(small) == ["other"]


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """Give a file system that can share blocks between files."""
    mount, device = tmp_path / "xfs", tmp_path / "xfs.img"
    mount.mkdir()
    with device.open("wb") as stream:
        stream.truncate(320 * MIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(device)], check=True)
    argv = ["mount", "-o", "loop", str(device), str(mount)]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a loop device is not permitted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.root
def test_blocks_are_shared_where_the_file_system_can(xfs):
    """A clone of 40 MiB takes no room, and is independent of its source."""
    source = xfs / "base.img"
    source.write_bytes(os.urandom(40 * MIB))
    os.sync()
    free = room.room(str(xfs))
    run(source, xfs / "disk.0")
    os.sync()
    assert free - room.room(str(xfs)) < MIB
    before = digest(source)
    with (xfs / "disk.0").open("r+b") as stream:
        stream.write(b"changed")
    assert digest(source) == before


@pytest.mark.root
def test_a_block_device_is_a_source(tmp_path, source):
    """Its whole length is copied."""
    argv = ["losetup", "--find", "--show", "--read-only", str(source)]
    made = subprocess.run(argv, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip("loop devices are not permitted here")
    device = made.stdout.strip()
    try:
        run(Path(device), tmp_path / "disk.0")
        size = (tmp_path / "disk.0").stat().st_size
        assert size == source.stat().st_size // 512 * 512
        assert (tmp_path / "disk.0").read_bytes() == source.read_bytes()[:size]
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def copy_again_and_again(opened: copying.Source, directory: Path) -> None:
    """Copy until a copy fails."""
    for number in range(1000):
        copying.copy(opened, str(directory / str(number)), attributes.Attributes())


def test_a_file_that_grows_while_it_is_read_never_passes(tmp_path):
    """A writer in a thread of its own is noticed."""
    source = tmp_path / "busy.img"
    source.write_bytes(os.urandom(MIB))
    opened = copying.open_source(str(source))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with source.open("ab") as stream:
                stream.write(b"more")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(TmError, match="changed while"):
            copy_again_and_again(opened, tmp_path)
    finally:
        stop.set()
        writer.join()
        os.close(opened.descriptor)
