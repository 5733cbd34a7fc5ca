"""What is remembered of a way between two hosts that cannot be gone."""

import os
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import private
from ansible_collections.one.tm.plugins.plugin_utils.closed import KEPT_SECONDS, Closed

WAY = [[b"ssh", b"a"], "", {"address": "b", "port": None}]


@pytest.fixture
def place(tmp_path: Path) -> str:
    """Give a directory for the notes."""
    return str(tmp_path)


def notes(place: str) -> list[Path]:
    """Give the files of this user's directory."""
    return sorted(Path(place, private.name()).iterdir())


def test_a_way_is_closed_for_some_minutes(place: str) -> None:
    """Its reason and age are told; another way is another one, and an old note is none."""
    way = Closed(WAY, [place])
    assert way.reason() is None
    way.note("a cannot reach b: no route")
    assert way.reason() == "a cannot reach b: no route (tried 0 s ago)"
    assert Closed([*WAY, "other"], [place]).reason() is None
    (note,) = notes(place)
    then = note.stat().st_mtime - KEPT_SECONDS
    os.utime(note, (then, then))
    assert way.reason() is None
    Closed(["other"], [place]).note("closed")
    assert note not in notes(place)


def test_notes_are_of_one_user(place: str) -> None:
    """What others may write to is not believed, and nothing is noted there."""
    way = Closed(WAY, [place])
    way.note("closed")
    Path(place, private.name()).chmod(0o777)
    assert way.reason() is None
    Closed(["other"], [place]).note("closed")
    assert len(notes(place)) == 1


def test_a_link_is_no_note(place: str, tmp_path: Path) -> None:
    """It is replaced, and what it leads to is neither read nor written."""
    way, precious = Closed(WAY, [place]), tmp_path / "precious"
    precious.write_text("secret")
    way.note("closed")
    (note,) = notes(place)
    note.unlink()
    note.symlink_to(precious)
    assert way.reason() is None
    way.note("closed again")
    assert way.reason() == "closed again (tried 0 s ago)"
    assert precious.read_text() == "secret"


def test_without_a_place_each_copy_tries(tmp_path: Path) -> None:
    """Nothing fails where nothing can be noted."""
    way = Closed(WAY, [str(tmp_path / "none")])
    way.note("closed")
    assert way.reason() is None
