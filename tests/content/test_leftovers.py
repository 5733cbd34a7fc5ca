"""What ended runs left beside a destination is swept by the next step; nothing else is touched."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import (
    attributes,
    copying,
    directories,
    files,
    leftovers,
    making,
    marker,
    move,
    removal,
    temporary,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from streams import copy, names

KEEP = attributes.Attributes()
DAYS = 2 * 24 * 3600


def name(directory: Path, suffix: str, final: str = "disk.0") -> Path:
    """Give a name of ours."""
    return Path(temporary.temporary_name(str(directory / final), suffix))


def make_file(path: Path) -> None:
    """Make a file."""
    path.write_bytes(b"half")


def make_tree(path: Path) -> None:
    """Make a tree."""
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "disk.0").write_bytes(b"half")


def age(*paths: Path) -> None:
    """Make files two days old."""
    then = time.time() - DAYS
    for path in paths:
        os.utime(path, (then, then), follow_symlinks=False)


@pytest.mark.parametrize("make", [make_file, make_tree])
@pytest.mark.parametrize("suffix", ["part", "old", "gone", "here-" + "0" * 32])
def test_what_nobody_holds_goes(tmp_path: Path, suffix: str, make: Callable[[Path], None]) -> None:
    """Each step that makes its directory removes what cannot be continued, at once."""
    make(name(tmp_path, suffix, "of-another-image"))
    directories.make_directory(str(tmp_path), KEEP)
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", ["part", "old", "gone"])
@pytest.mark.parametrize("make", [make_file, make_tree])
def test_what_is_held_stays(tmp_path: Path, suffix: str, make: Callable[[Path], None]) -> None:
    """What another process has locked is in use."""
    path = name(tmp_path, suffix)
    make(path)
    descriptor = temporary.open_for_lock(str(path))
    try:
        assert temporary.lock(descriptor)
        leftovers.sweep(str(tmp_path))
        assert names(tmp_path) == [path.name]
    finally:
        os.close(descriptor)
    leftovers.sweep(str(tmp_path))
    assert names(tmp_path) == []


def test_what_we_make_is_held(tmp_path: Path) -> None:
    """New files, directories and markers are locked while they are in use."""
    final = str(tmp_path / "disk")
    with files.new_file(final + ".0"), files.new_directory(final + ".1"), marker.placed(final):
        before = names(tmp_path)
        leftovers.sweep(str(tmp_path))
        assert names(tmp_path) == before
        assert len(before) == 3
    assert names(tmp_path) == []


def test_what_can_be_continued_stays_for_a_day(tmp_path: Path) -> None:
    """A part and its note stay together and go together."""
    part, note = name(tmp_path, "part"), name(tmp_path, "proven")
    make_file(part)
    make_file(note)
    leftovers.sweep(str(tmp_path))
    assert sorted(names(tmp_path)) == [part.name, note.name]
    age(part, note)
    leftovers.sweep(str(tmp_path))
    assert names(tmp_path) == []


def test_a_note_alone_goes(tmp_path: Path) -> None:
    """A note without its part means nothing."""
    make_file(name(tmp_path, "proven"))
    leftovers.sweep(str(tmp_path))
    assert names(tmp_path) == []


def test_what_cannot_be_held_goes_after_a_day(tmp_path: Path) -> None:
    """A link, and a file that a site's own task makes, may be in use though nobody holds them."""
    link, download = name(tmp_path, "part"), name(tmp_path, "download")
    link.symlink_to("/srv/base.img")
    make_file(download)
    leftovers.sweep(str(tmp_path))
    assert len(names(tmp_path)) == 2
    age(link, download)
    leftovers.sweep(str(tmp_path))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "other",
    [
        "disk.0",
        ".tm-0123456789abcdef.other",
        ".tm-0123456789abcde.part",
        ".tm-0123456789ABCDEF.part",
        ".tm-0123456789abcdef.part.bak",
        "x.tm-0123456789abcdef.part",
        ".tm-0123456789abcdef.here-1",
        ".tm-0123456789abcdef.part\n",
    ],
)
def test_names_of_others_stay(tmp_path: Path, other: str) -> None:
    """Nothing is removed that is not of our naming."""
    make_file(tmp_path / other)
    age(tmp_path / other)
    leftovers.sweep(str(tmp_path))
    assert names(tmp_path) == [other]


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    """A link with a name of ours is removed itself, not what it leads to."""
    precious, var = tmp_path / "precious", tmp_path / "var"
    make_tree(precious)
    var.mkdir()
    for suffix in ("part", "old", "gone"):
        name(var, suffix).symlink_to(precious)
        age(name(var, suffix))
    leftovers.sweep(str(var))
    assert names(var) == []
    assert (precious / "a" / "disk.0").exists()


def test_no_directory_is_no_failure(tmp_path: Path) -> None:
    """Where there is nothing yet, or no directory, nothing is swept."""
    make_file(tmp_path / "file")
    leftovers.sweep(str(tmp_path / "not there"))
    leftovers.sweep(str(tmp_path / "file"))
    assert names(tmp_path) == ["file"]


def test_two_remove_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal goes on where a sweep was quicker."""
    tree = tmp_path / "images"
    make_tree(tree)
    listdir = os.listdir

    def slow(path: int | str) -> list[str]:
        found = listdir(path)
        monkeypatch.undo()
        leftovers.sweep(str(tmp_path))
        return found

    monkeypatch.setattr(os, "listdir", slow)
    removal.remove(str(tree))
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["make", "sweep"])
def test_replaced_meanwhile(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has opened a leftover that another process then replaces leaves the new file alone."""
    path, final = name(tmp_path, "part"), str(tmp_path / "disk.0")
    make_file(path)
    opened = temporary.open_for_lock
    others = []

    def open_late(path: str) -> int:
        descriptor = opened(path)
        monkeypatch.undo()
        others.append(making.made(path, final, making.make_file))
        return descriptor

    for module in (temporary, making):
        monkeypatch.setattr(module, "open_for_lock", open_late)
    if step == "sweep":
        leftovers.sweep(str(tmp_path))
    else:
        with pytest.raises(TmError, match="being made by another run"):
            making.made(str(path), final, making.make_file)
    assert temporary.is_at(str(path), others[0])
    os.close(others[0])


def test_a_note_is_not_of_another_part(tmp_path: Path) -> None:
    """A file that takes the place of a partial one takes its note away: its inode may return."""
    make_file(name(tmp_path, "part"))
    make_file(name(tmp_path, "proven"))
    with files.new_file(str(tmp_path / "disk.0")):
        assert names(tmp_path) == [name(tmp_path, "part").name]


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a file system without locks, as NFS without lockd: a real one is not to be had here."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize("make", [make_file, make_tree])
def test_without_locks_only_what_is_old_goes(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """What was changed within a day may be in use, though nobody can hold it."""
    paths = [name(tmp_path, suffix) for suffix in ("part", "old", "gone")]
    for path in paths:
        make(path)
    leftovers.sweep(str(tmp_path))
    assert names(tmp_path) == sorted(path.name for path in paths)
    age(*paths)
    leftovers.sweep(str(tmp_path))
    assert names(tmp_path) == []


@pytest.mark.usefixtures("without_locks")
def test_without_locks_copies_are_made(tmp_path: Path) -> None:
    """Between hosts, on one host, and over what a broken run has left just now."""
    image, final = tmp_path / "base.img", tmp_path / "to" / "disk.0"
    image.write_bytes(os.urandom(1 << 20))
    final.parent.mkdir()
    make_file(name(final.parent, "part"))
    make_file(name(final.parent, "proven"))
    copied = copy(image, final)
    assert copied.result["bytes"] == 1 << 20
    assert final.read_bytes() == image.read_bytes()
    assert names(final.parent) == ["disk.0"]
    cached = copy(image, tmp_path / "to" / "disk.1", cache=cache_in(tmp_path / "cache"))
    assert cached.result["bytes"] == 1 << 20
    source = copying.open_source(str(image))
    copying.copy(source, str(tmp_path / "to" / "disk.2"), KEEP)
    os.close(source.descriptor)
    move.move(str(final.parent), str(tmp_path / "moved"))
    assert names(tmp_path / "moved") == ["disk.0", "disk.1", "disk.2"]


def cache_in(directory: Path) -> dict[str, object]:
    """Give the settings of a cache."""
    return {"directory": str(directory), "size_gib": 1, "age_days": 1}


@pytest.mark.usefixtures("without_locks")
def test_without_locks_nobody_publishes_what_another_makes(tmp_path: Path) -> None:
    """Of two runs that make one destination, the first fails: its file is gone."""
    final = str(tmp_path / "disk.0")
    with files.new_file(final) as first, files.new_file(final) as second:
        os.write(first, b"first")
        os.write(second, b"half")
        with pytest.raises(TmError, match="was replaced while it was made; try again"):
            publish_as(first, final)
        assert not os.path.lexists(final)


def publish_as(descriptor: int, final: str) -> None:
    """Publish what a run has under the name of ours, as the one that holds a descriptor."""
    path = temporary.temporary_name(final)
    with files.held(os.dup(descriptor), path):
        files.publish(path, final, KEEP)
