"""Images, empty and of directories, judged by the tools of their formats."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import mkimage, signatures, survey
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from worlds import ANYWHERE, names

MIB = 1 << 20
KINDS = ["ext2", "ext3", "ext4", "xfs", "vfat", "swap", "raw", "qcow2"]


def tool(*argv: str) -> str:
    """Run a tool of a format; it fails if the tool does."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run(
        argv, check=False, text=True, capture_output=True, env={"PATH": path, "LC_ALL": "C"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judge(kind: str, image: Path) -> None:
    """Have a format's own tool look at an image."""
    if kind.startswith("ext"):
        tool("e2fsck", "-fn", str(image))
    elif kind == "xfs":
        tool("xfs_db", "-r", "-c", "sb 0", "-c", "p magicnum", str(image))
    elif kind == "vfat":
        tool("fsck.vfat", "-n", str(image))
    elif kind == "swap":
        tool("swaplabel", str(image))
    else:
        assert json.loads(tool("qemu-img", "info", "--output=json", str(image)))["format"] == kind


def run(destination: Path, check: bool = False, **more: object) -> dict:
    """Make an image in process, as the module does."""
    params = {"destination": str(destination), "filesystem": "ext4", "source": None, "uuid": None}
    params |= {"mode": "a+w", "slack_percent": 20, "allowed_dirs": ANYWHERE}
    return mkimage.run({**params, **more}, check)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_image_is_valid_and_made_once(tmp_path, kind):
    """Each kind is what its own tool takes for it, of the size asked for, and known again."""
    size, image = (320 if kind == "xfs" else 64), tmp_path / "7" / "disk.3"
    result = run(image, size_mib=size, filesystem=kind)
    assert result["tm_log"] == [f"made {kind} image disk.3, {size}.0 MiB"]
    judge(kind, image)
    assert signatures.look(str(image))[:2] == (kind, size * MIB)
    assert image.stat().st_mode & 0o222 == 0o222
    before = image.stat()
    assert run(image, size_mib=size, filesystem=kind)["changed"] is False
    assert image.stat().st_ino == before.st_ino
    assert names(image.parent) == ["disk.3"]


def test_an_image_of_another_kind_is_made_anew(tmp_path):
    """ext3 is not ext4, whatever the size."""
    run(tmp_path / "disk.3", size_mib=32, filesystem="ext3")
    assert run(tmp_path / "disk.3", size_mib=32)["changed"] is True
    assert signatures.look(str(tmp_path / "disk.3")).kind == "ext4"


@pytest.mark.parametrize("name", ["a?offset=8", "nbd:x", "json:{}", "-F", "{{ 7*7 }}", "$(id)"])
@pytest.mark.parametrize("kind", ["ext4", "qcow2", "vfat"])
def test_odd_names_reach_no_tool(tmp_path, name, kind):
    """What a tool would take for its own syntax is a name."""
    image = tmp_path / name / name
    run(image, size_mib=32, filesystem=kind)
    assert names(image.parent) == [name]
    assert signatures.look(str(image)).kind == kind


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"size_mib": 0}, "is no size"),
        ({"size_mib": -5}, "is no size"),
        ({"size_mib": 10_000_000_000}, "can ever hold"),
        ({"size_mib": 8, "filesystem": "zfs"}, "no file system zfs is known; there are ext2"),
        ({"size_mib": 8, "filesystem": "xfs"}, "mkfs.xfs failed"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path, more, reason):
    """Nothing is left behind."""
    with pytest.raises(TmError, match=reason):
        run(tmp_path / "disk.3", **more)
    assert names(tmp_path) == []


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Give a directory of files: text, a link, a sparse file, a deep one, an odd name."""
    directory = tmp_path / "files"
    (directory / "etc" / "deep").mkdir(parents=True)
    (directory / "etc" / "motd").write_text("hello\n")
    (directory / "etc" / "deep" / "data").write_bytes(os.urandom(3 * MIB))
    (directory / "link").symlink_to("etc/motd")
    (directory / "a b;$(id)").write_text("odd")
    with (directory / "sparse").open("wb") as stream:
        stream.truncate(500 * MIB)
    return directory


def free_bytes(image: Path) -> int:
    """Return the room in an ext image."""
    fields = dict(
        line.split(":", 1)
        for line in tool("dumpe2fs", "-h", str(image)).splitlines()
        if ":" in line
    )
    return int(fields["Free blocks"]) * int(fields["Block size"])


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_an_image_of_a_directory_has_its_files_and_the_slack(files, tmp_path, kind):
    """``debugfs`` reads them back; holes cost nothing; the room is at least what was promised."""
    image = tmp_path / "disk.4"
    result = run(image, source=str(files), filesystem=kind, slack_percent=50)
    assert "50 % slack" in result["tm_log"][0]
    judge(kind, image)
    assert tool("debugfs", "-R", "cat /etc/motd", str(image)) == "hello\n"
    assert tool("debugfs", "-R", 'cat "/a b;$(id)"', str(image)) == "odd"
    tool("debugfs", "-R", f"dump /etc/deep/data {tmp_path}/back", str(image))
    assert (tmp_path / "back").read_bytes() == (files / "etc" / "deep" / "data").read_bytes()
    assert "etc/motd" in tool("debugfs", "-R", "stat /link", str(image))
    assert free_bytes(image) > survey.take(str(files)).size // 2
    assert image.stat().st_size < 64 * MIB


def test_an_image_of_a_directory_is_made_anew_only_for_other_files(files, tmp_path):
    """A VM may write into it; a file that changes, or a new one, makes another image."""
    image = tmp_path / "disk.4"
    run(image, source=str(files))
    with image.open("r+b") as stream:
        stream.seek(-4096, os.SEEK_END)
        stream.write(b"written by a VM")
    again = run(image, source=str(files))
    assert (again["changed"], "already has the files" in again["tm_log"][0]) == (False, True)
    (files / "new").touch()
    assert run(image, source=str(files))["changed"] is True
    assert run(image, source=str(files))["changed"] is False


def test_two_images_of_one_directory_have_different_identities(files, tmp_path):
    """So that one VM can mount both by UUID."""
    for name in ("disk.4", "disk.5"):
        run(tmp_path / name, source=str(files))
    uuids = {signatures.look(str(tmp_path / name)).uuid for name in ("disk.4", "disk.5")}
    assert len(uuids) == 2


def test_many_small_files_fit(tmp_path):
    """Inodes are counted as well as blocks."""
    directory = tmp_path / "many"
    directory.mkdir()
    for number in range(3000):
        (directory / f"{number:05}-{'x' * 100}").write_text("x")
    run(tmp_path / "disk.4", source=str(directory), slack_percent=0)
    judge("ext4", tmp_path / "disk.4")


def test_an_empty_directory_gives_an_empty_file_system(tmp_path):
    """It is valid all the same."""
    (tmp_path / "none").mkdir()
    run(tmp_path / "disk.4", source=str(tmp_path / "none"), slack_percent=0)
    judge("ext4", tmp_path / "disk.4")


@pytest.mark.parametrize("kind", ["xfs", "vfat", "swap", "raw", "qcow2"])
def test_a_directory_goes_into_ext_only(files, tmp_path, kind):
    """The reason says what there is instead."""
    with pytest.raises(TmError, match="can have ext2, ext3, ext4, not " + kind):
        run(tmp_path / "disk.4", source=str(files), filesystem=kind)


def test_a_source_that_is_no_directory_is_refused(tmp_path):
    """Missing, or a file."""
    (tmp_path / "file").touch()
    with pytest.raises(TmError, match="is not a directory"):
        run(tmp_path / "disk.4", source=str(tmp_path / "file"))
    with pytest.raises(TmError, match="does not exist"):
        run(tmp_path / "disk.4", source=str(tmp_path / "missing"))


def test_check_mode_makes_nothing(files, tmp_path):
    """Both forms say what they would do."""
    assert run(tmp_path / "e", check=True, size_mib=8)["tm_log"] == [
        "would make ext4 image e, 8.0 MiB"
    ]
    result = run(tmp_path / "f", check=True, source=str(files))
    assert result["tm_log"][0].startswith("would make ext4 image f of ")
    assert names(tmp_path) == ["files"]


def test_what_is_read_is_not_taken_for_the_image(files, tmp_path, monkeypatch):
    """A file that mke2fs(8) may not read is no fault of the destination."""
    tool = tmp_path / "bin" / "mke2fs"
    tool.parent.mkdir()
    complaint = "mke2fs: {} while populating file system"
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    for words in ("Permission denied", "Input/output error"):
        tool.write_text(f"#!/bin/sh\necho '{complaint.format(words)}' >&2\nexit 1\n")
        tool.chmod(0o755)
        with pytest.raises(TmError, match=f"^mke2fs failed: {complaint.format(words)}$"):
            run(tmp_path / "disk.0", source=str(files))
