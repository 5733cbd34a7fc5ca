"""Links to images."""

from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import link
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from worlds import ANYWHERE, names


def run(source: Path, destination: Path, check: bool = False) -> dict:
    """Link in process, as the module does."""
    params = {"source": str(source), "destination": str(destination), "allowed_dirs": ANYWHERE}
    return link.run({**params, "mode": "a+w"}, check)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give an image."""
    (tmp_path / "data.img").write_text("data")
    return tmp_path / "data.img"


def test_a_link_leads_to_the_image_and_a_second_run_leaves_it(source, tmp_path):
    """The directory is made; the log names the target."""
    destination = tmp_path / "7" / "disk.1"
    assert run(source, destination)["tm_log"] == [f"linked disk.1 to {source}"]
    assert destination.read_text() == "data"
    assert run(source, destination)["changed"] is False
    assert names(destination.parent) == ["disk.1"]


def test_a_link_to_another_image_is_replaced(source, tmp_path):
    """A retried prolog may find one."""
    (tmp_path / "disk.1").symlink_to("/nowhere")
    assert run(source, tmp_path / "disk.1")["changed"] is True
    assert str((tmp_path / "disk.1").readlink()) == str(source)


def test_a_file_in_the_way_is_kept(source, tmp_path):
    """It may be a disk that somebody wants."""
    (tmp_path / "disk.1").write_text("mine")
    with pytest.raises(TmError, match="is no link; delete it first"):
        run(source, tmp_path / "disk.1")
    assert (tmp_path / "disk.1").read_text() == "mine"


def test_a_missing_image_gets_no_link(tmp_path):
    """Not even its directory is made."""
    with pytest.raises(TmError, match="does not exist"):
        run(tmp_path / "missing", tmp_path / "7" / "disk.1")
    assert not (tmp_path / "7").exists()


def test_a_link_leads_past_links_that_somebody_may_redirect(source, tmp_path):
    """The real path was judged, and is linked to; one to the name itself is left."""
    (tmp_path / "way").symlink_to(tmp_path)
    (tmp_path / "named").symlink_to("way/data.img")
    result = run(tmp_path / "named", tmp_path / "disk.1")
    assert result["tm_log"] == [f"linked disk.1 to {source}"]
    assert (tmp_path / "disk.1").readlink() == source
    assert run(tmp_path / "way" / "data.img", tmp_path / "disk.1")["changed"] is False
    (tmp_path / "disk.2").symlink_to(tmp_path / "named")
    assert run(tmp_path / "named", tmp_path / "disk.2")["changed"] is False


def test_check_mode_makes_no_link(source, tmp_path):
    """It says what would be done."""
    result = run(source, tmp_path / "disk.1", check=True)
    assert (result["changed"], result["tm_log"]) == (True, [f"would link disk.1 to {source}"])
    assert not (tmp_path / "disk.1").is_symlink()
