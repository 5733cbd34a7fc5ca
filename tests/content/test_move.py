"""MV on one host: a rename, or a proven copy, and safe to repeat."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import copying, files, move, removal, tree
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from worlds import names

MIB = 1 << 20


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """Give a directory with a stopped VM's images: a disk, a hole, a link."""
    images = tmp_path / "var" / "7" / "images"
    images.mkdir(parents=True)
    (images / "disk.0").write_bytes(os.urandom(MIB))
    with (images / "disk.1").open("wb") as stream:
        stream.seek(64 * MIB)
        stream.write(b"end")
    (images / "disk.2").symlink_to("/srv/data.img")
    return tmp_path / "var"


def run(source: object, destination: object, *roots: Path, check: bool = False) -> dict:
    """Move in process, as the module does."""
    allowed = [str(root) for root in roots]
    params = {"source": str(source), "destination": str(destination)}
    return move.run({**params, "into": True, "allowed_dirs": allowed}, check)


def test_a_saved_disk_moves_and_a_second_run_changes_nothing(var):
    """The inode stays: it is a rename; the repeat finds it in its place."""
    source, destination = var / "7" / "images" / "disk.0", var / "7" / "disk.0"
    inode = source.stat().st_ino
    assert run(source, destination, var)["tm_log"] == [f"moved {source} to {destination}"]
    assert (destination.stat().st_ino, source.exists()) == (inode, False)
    assert run(source, destination, var)["changed"] is False


def test_the_same_path_is_no_move(var):
    """However it is spelt; oned writes it with two slashes."""
    result = run(f"{var}/7/images", f"{var}//7/images/", var)
    assert result["changed"] is False
    assert (var / "7" / "images" / "disk.0").exists()


def test_a_directory_takes_the_source_into_it(var):
    """Stop: the images go below the VM's directory; the repeat succeeds."""
    (var / "saved" / "7").mkdir(parents=True)
    for changed in (True, False):
        result = run(var / "7" / "images", var / "saved" / "7", var)
        assert (result["changed"], result["path"]) == (changed, f"{var}/saved/7/images")
    assert (var / "saved" / "7" / "images" / "disk.0").exists()


def test_a_left_over_directory_of_the_same_name_is_replaced(var):
    """Resume: what an earlier life left there does not mix with what comes."""
    (var / "node" / "images").mkdir(parents=True)
    (var / "node" / "images" / "stale").write_text("old")
    run(var / "7" / "images", var / "node" / "images", var)
    assert names(var / "node" / "images") == ["disk.0", "disk.1", "disk.2"]
    assert names(var / "node") == ["images"]


def test_nothing_to_move_and_nothing_moved_is_a_failure(var):
    """The reason names the source."""
    with pytest.raises(TmError, match="missing does not exist"):
        run(var / "missing", var / "7" / "x", var)


@pytest.mark.root
@pytest.mark.parametrize("numbers", [True, False])
@pytest.mark.parametrize("last", ["7/images", "7/images/disk.0"])
def test_one_place_that_is_mounted_twice_is_no_move(var, tmp_path, monkeypatch, last, numbers):
    """Nothing is copied over itself and then removed, whatever the numbers say."""
    twin = tmp_path / "twin"
    twin.mkdir()
    argv = ["mount", "--bind", str(var), str(twin)]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    if not numbers:
        monkeypatch.setattr(move, "_is_one", lambda _source, _final: False)
    try:
        assert run(var / last, twin / last, var, twin)["changed"] is False
        with pytest.raises(TmError, match="itself"):
            run(var / "7", twin / "7" / "images" / "below", var, twin)
        assert names(var / "7" / "images") == ["disk.0", "disk.1", "disk.2"]
        assert names(var / "7") == ["images"]
    finally:
        subprocess.run(["umount", str(twin)], check=True)


def test_two_links_to_one_file_are_one_place(var):
    """Both stay, and so does the image."""
    source, final = var / "7" / "images" / "disk.0", var / "7" / "disk.0"
    final.hardlink_to(source)
    assert run(source, final, var)["changed"] is False
    assert source.exists()
    assert final.exists()


def test_a_directory_does_not_go_into_itself(var):
    """It is refused before anything happens."""
    with pytest.raises(TmError, match="into itself"):
        run(var / "7", var / "7" / "images" / "7", var)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_both_paths_have_to_be_allowed(var, tmp_path, side):
    """The message says which one is not."""
    (tmp_path / "outside").write_text("mine")
    pair = [tmp_path / "outside", var / "7" / "x"]
    with pytest.raises(TmError, match=f"refused the {side}"):
        run(*(pair if side == "source" else reversed([pair[0], var / "7" / "images"])), var)
    assert (tmp_path / "outside").read_text() == "mine"


def test_a_linked_directory_does_not_lead_out(var, tmp_path):
    """The final place is judged, not only the one that was named."""
    (tmp_path / "victim").mkdir()
    (var / "saved").symlink_to(tmp_path / "victim")
    with pytest.raises(TmError, match="refused the destination"):
        run(var / "7" / "images", var / "saved", var)
    assert names(tmp_path / "victim") == []


def test_check_mode_moves_nothing(var):
    """It says what would be done."""
    result = run(var / "7" / "images" / "disk.0", var / "7" / "disk.0", var, check=True)
    assert result["tm_log"][0].startswith("would move ")
    assert (var / "7" / "images" / "disk.0").exists()


def test_across_file_systems_everything_arrives_as_it_was(var, other_fs):
    """Contents, holes, links, modes and times; then the source is gone, and nothing is left."""
    images = var / "7" / "images"
    (images / "disk.0").chmod(0o640)
    contents = (images / "disk.0").read_bytes()
    before = (images / "disk.0").stat()
    run(images, other_fs / "images", var, other_fs)
    moved = other_fs / "images"
    assert (moved / "disk.0").read_bytes() == contents
    after = (moved / "disk.0").stat()
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert (moved / "disk.1").stat().st_blocks * 512 < MIB
    assert str((moved / "disk.2").readlink()) == "/srv/data.img"
    assert (names(var / "7"), names(other_fs)) == ([], ["images"])
    assert run(images, moved, var, other_fs)["changed"] is False


def test_a_program_is_not_made_another_owner_s(var, tmp_path):
    """Who may write into a VM's directory gets no program that runs as the transfer's user."""
    program = var / "7" / "images" / "program"
    program.write_text("#!/bin/sh")
    program.chmod(0o6755)
    tree.copy_tree(str(program.parent), str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "program").stat().st_mode & 0o7777 == 0o755


def test_a_directory_that_becomes_a_link_in_mid_move_leads_nowhere(var, tmp_path):
    """What is read through it is not what was judged."""
    images, secret = var / "7" / "images" / "more", tmp_path / "secret"
    for directory, text in ((images, "mine"), (secret, "s3cret")):
        directory.mkdir()
        for name in ("a", "b"):
            (directory / name).write_text(text)

    class Swap(Meter):
        """Puts a link in the directory's place, once its first file was copied."""

        @contextlib.contextmanager
        def beating(self) -> Iterator[None]:
            """Swap, once it is flushed."""
            with super().beating():
                yield
            if not images.is_symlink():
                images.rename(tmp_path / "old")
                images.symlink_to(secret)

    with pytest.raises(TmError, match="more/b was replaced while it was copied"):
        tree.copy_tree(str(images), str(tmp_path / "copy"), Swap("images", 0))
    assert not (tmp_path / "copy" / "b").exists()


def test_across_file_systems_a_file_and_a_link_move_too(var, other_fs):
    """Each under its own name."""
    for name in ("disk.0", "disk.2"):
        run(var / "7" / "images" / name, other_fs / name, var, other_fs)
    assert names(other_fs) == ["disk.0", "disk.2"]
    assert names(var / "7" / "images") == ["disk.1"]


def test_a_copy_that_differs_is_found(var, tmp_path):
    """By its bytes, names or links, in data or in holes."""
    images, copy = var / "7" / "images", tmp_path / "copy"
    tree.copy_tree(str(images), str(copy))
    tree.prove_tree(str(images), str(copy))
    with (copy / "disk.1").open("r+b") as stream:
        stream.seek(5 * MIB)
        stream.write(b"\x01")
    with pytest.raises(TmError, match=r"copy of .*disk\.1 differs"):
        tree.prove_tree(str(images), str(copy))


def test_a_copy_that_cannot_be_proven_keeps_the_source(var, other_fs, monkeypatch):
    """The source stays whole, and no half destination stands there."""
    whole = copying.finish

    def spoil(source, descriptor, destination):
        os.pwrite(descriptor, b"flip", 0)
        whole(source, descriptor, destination)

    monkeypatch.setattr(tree, "finish", spoil)
    with pytest.raises(TmError, match="differs"):
        run(var / "7" / "images", other_fs / "images", var, other_fs)
    assert len(names(var / "7" / "images")) == 3
    assert names(other_fs) == []


@pytest.mark.parametrize("late", ["disk.0", "disk.9"])
def test_what_is_written_behind_its_proof_stays(var, other_fs, monkeypatch, late):
    """A source that changes once it was compared is a failure, and keeps all that it has."""

    def prove_and_write(source: str, *rest: object) -> None:
        tree.prove_tree(source, *rest)
        with (Path(source) / late).open("ab") as stream:
            stream.write(b"late")

    monkeypatch.setattr(move, "prove_tree", prove_and_write)
    final = other_fs / "images"
    with pytest.raises(TmError, match="stays; stop what writes to it"):
        run(var / "7/images", final, var, other_fs)
    assert (var / "7/images" / late).read_bytes().endswith(b"late")
    assert names(other_fs) == []


def test_a_move_killed_while_it_removed_its_source_is_finished_by_the_next(var, other_fs):
    """What is half removed is never taken for the whole."""
    images = var / "7" / "images"
    tree.copy_tree(str(images), str(other_fs / "images"))
    images.rename(removal.doomed_name(str(images)))
    (Path(removal.doomed_name(str(images))) / "disk.0").unlink()
    assert run(images, other_fs / "images", var, other_fs)["changed"] is False
    assert (other_fs / "images" / "disk.0").exists()
    assert names(var / "7") == []


def test_a_replacement_that_fails_puts_the_old_directory_back(var, tmp_path):
    """A rename that cannot be done leaves what was there."""
    (var / "node" / "images").mkdir(parents=True)
    (var / "node" / "images" / "old").touch()
    with pytest.raises(OSError, match="No such file"):
        files._replace_directory(str(var / "missing"), str(var / "node" / "images"))
    assert names(var / "node" / "images") == ["old"]
