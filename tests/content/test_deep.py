"""Trees deeper than a path is long, as anybody on a host can make them."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import (
    descent,
    entries,
    lifeline,
    listing,
    marker,
    move,
    removal,
    remove,
    survey,
    tree,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from worlds import DEEP, make_deep, names

LEVELS = 2000
OPENED = Path("/proc/self/fd")


@contextlib.contextmanager
def few_descriptors(more: int) -> Iterator[None]:
    """Let this process open so many files more and no others."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = max(int(path.name) for path in OPENED.iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 1 + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    """Give an allowed directory in which trees may be left."""
    place = tmp_path / "var"
    (place / "7").mkdir(parents=True)
    yield place
    lifeline.discard(str(place))


def delete(path: Path, var: Path) -> dict:
    """Remove in process, as the module does."""
    return remove.run({"path": str(path), "allowed_dirs": [str(var)]}, False)


def move_to(source: Path, destination: Path, *roots: Path) -> dict:
    """Move in process, as the module does."""
    params = {"source": str(source), "destination": str(destination), "into": True}
    return move.run({**params, "allowed_dirs": [str(root) for root in roots]}, False)


def test_delete_removes_any_depth_with_few_descriptors(var):
    """It counts what was there."""
    make_deep(var / "7" / "images", LEVELS)
    with few_descriptors(6):
        result = delete(var / "7" / "images", var)
    assert result["files"] == LEVELS / 100 + 1
    assert names(var / "7") == []


def test_delete_finishes_what_a_cut_off_one_left_of_a_deep_tree(var):
    """Under the name of ours, in whatever state."""
    images = var / "7" / "images"
    make_deep(images, LEVELS)
    images.rename(removal.doomed_name(str(images)))
    make_deep(images, 300)
    assert delete(images, var)["files"] == 4
    assert names(var / "7") == []


def test_a_deep_tree_under_a_name_of_ours_goes(var):
    """What is left of copies and of replaced directories is removed by the same walk."""
    make_deep(var / "7" / "images", 1100)
    lifeline.discard(str(var / "7" / "images"))
    assert names(var / "7") == []


def test_a_directory_that_is_moved_out_meanwhile_leads_nowhere(var, tmp_path):
    """Its neighbours there are not taken for those that it had."""
    make_deep(var / "7" / "images", 5)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "beside").write_text("mine")
    with removal.open_parent(str(var / "7" / "images")) as parent:
        walk = descent.walk(parent, "images", var.stat().st_dev)
        for found in walk:
            if found.name == "last":
                break
        (var / "7" / "images" / DEEP / DEEP).rename(outside / DEEP)
        with pytest.raises(TmError, match="directory was moved while it was removed"):
            list(walk)
    assert names(outside) == ["beside", DEEP]


def test_what_disappears_meanwhile_is_not_the_tree_that_disappears(var):
    """A file of a name that was listed and is gone ends no walk."""
    for name in ("a", "b", "c"):
        (var / "7" / name).touch()
    with removal.open_parent(str(var / "7")) as parent:
        walk = descent.walk(parent, "7", var.stat().st_dev)
        seen = [next(walk).name]
        for name in {"a", "b", "c"} - set(seen):
            (var / "7" / name).unlink()
        assert [found.name for found in walk] == ["7"]


def test_another_file_system_is_not_entered(var):
    """Whatever the list of mounts says."""
    (var / "7" / "images").mkdir()
    elsewhere = Path("/proc").stat().st_dev
    refused = pytest.raises(TmError, match="another file system is mounted there")
    with removal.open_parent(str(var / "7")) as parent, refused:
        list(descent.walk(parent, "7", elsewhere))


def test_no_descriptor_stays_open(var):
    """Neither behind a whole walk nor behind one that was left."""
    make_deep(var / "7" / "images", 20)
    before = len(names(OPENED))
    with removal.open_parent(str(var / "7")) as parent:
        walk = descent.walk(parent, "7", var.stat().st_dev)
        next(walk)
        walk.close()
        list(descent.walk(parent, "7", var.stat().st_dev))
    assert len(names(OPENED)) == before


def test_a_move_within_a_file_system_has_no_limit(var):
    """A deep tree that is in the way goes, too."""
    make_deep(var / "7" / "images", 1100)
    make_deep(var / "7" / "kept" / "images", 1100)
    assert move_to(var / "7" / "images", var / "7" / "kept" / "images", var)["changed"]
    assert names(var / "7") == ["kept"]
    assert names(var / "7" / "kept") == ["images"]


@pytest.mark.parametrize("levels", [listing.DEEPEST, 1100])
def test_a_move_to_another_file_system_names_what_is_too_deep(var, other_fs, levels):
    """It says what to do, and has changed nothing."""
    source = var / "7" / "images"
    make_deep(source, levels)
    with pytest.raises(TmError, match=rf"{source}/{DEEP} has .* within more than 256 others, .* m"):
        move_to(source, other_fs / "images", var, other_fs)
    assert names(source) == ["beside", DEEP]
    assert names(other_fs) == []


def test_the_deepest_copy(var, other_fs):
    """So many levels are copied, proven and removed."""
    source = var / "7" / "images"
    make_deep(source, listing.DEEPEST - 1)
    assert move_to(source, other_fs / "images", var, other_fs)["changed"]
    assert len(entries.scan(str(other_fs / "images")).entries) == listing.DEEPEST + 4
    assert names(var / "7") == []


def test_no_list_of_a_deep_tree_recurses(var):
    """What is sent, made an image of, or copied is refused; what is only looked for is found."""
    images = var / "7" / "images"
    make_deep(images, 1100)
    for read in (entries.scan, survey.take, lambda top: tree.copy_tree(top, str(var / "copy"))):
        with pytest.raises(TmError, match=rf"{images}/{DEEP} has files or directories within more"):
            read(str(images))
    assert marker.is_destination(str(images), "marker", "images") is False
    assert sum(1 for _found in listing.walk(str(images))) > 300
