"""What ``tm-ansible install`` lays out."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml

from tm_ansible.cli.install import install, map_text, oned_conf, read_shared
from tm_ansible.cli.layout import Effect, LaidFile, lay_out
from tm_ansible.cli.model import Model
from tm_ansible.errors import SettingsError
from tm_ansible.locations import locate
from tm_ansible.rcfile import read_rc
from tm_ansible.script import Verb
from tm_ansible.settings import Settings, load_settings
from tm_ansible.template import parse_template

MANIFEST = Path("manifest")


def one(text: str, **more: bool) -> list[LaidFile]:
    """Give a file to lay out, in a list."""
    return [LaidFile(Path("etc/file"), text, **more)]


def lay(root: Path, files: list[LaidFile]) -> Effect:
    """Lay out one file and give its effect."""
    return lay_out(files, root, MANIFEST)[0].effect


def picture(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Give every file below a directory with its content, mode and inode."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mode, path.stat().st_ino)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_an_untouched_file_is_replaced_by_a_new_version(tmp_path: Path) -> None:
    """An upgrade of what nobody changed is silent."""
    assert lay(tmp_path, one("1")) is Effect.CREATED
    assert lay(tmp_path, one("1")) is Effect.UNCHANGED
    assert lay(tmp_path, one("2")) is Effect.UPDATED
    assert (tmp_path / "etc/file").read_text() == "2"
    assert not (tmp_path / "etc/file.new").exists()


def test_a_changed_file_is_kept_and_the_new_version_stands_beside_it(tmp_path: Path) -> None:
    """A person's changes are never lost, not even by the second upgrade."""
    lay(tmp_path, one("1"))
    (tmp_path / "etc/file").write_text("mine")
    for text in ("2", "3"):
        assert lay(tmp_path, one(text)) is Effect.KEPT
        assert (tmp_path / "etc/file").read_text() == "mine"
        assert (tmp_path / "etc/file.new").read_text() == text


def test_a_file_without_a_record_counts_as_changed(tmp_path: Path) -> None:
    """What stood there before the first installation is somebody's."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_text("theirs")
    assert lay(tmp_path, one("1")) is Effect.KEPT


def test_a_file_that_took_over_the_new_version_is_known_again(tmp_path: Path) -> None:
    """Once a person has adopted the new version, upgrades are silent again."""
    lay(tmp_path, one("1"))
    (tmp_path / "etc/file").write_text("2")
    assert lay(tmp_path, one("2")) is Effect.UNCHANGED
    assert lay(tmp_path, one("3")) is Effect.UPDATED


def test_a_file_that_belongs_to_others_stays_without_a_copy(tmp_path: Path) -> None:
    """OpenNebula's own tm_common.sh is neither replaced nor commented on."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_text("stock")
    assert lay(tmp_path, one("1", once=True)) is Effect.UNCHANGED
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["file"]


@pytest.mark.parametrize("manifest", ["", "[1]", '{"etc/file": 1}', "\xff"])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, manifest: str) -> None:
    """A person's file is not taken for ours, and the record is whole again."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_text("theirs")
    (tmp_path / MANIFEST).write_text(manifest, encoding="latin-1")
    assert lay(tmp_path, one("1")) is Effect.KEPT
    assert json.loads((tmp_path / MANIFEST).read_text()) == {}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The message tells which path is in the way."""
    (tmp_path / "etc").write_text("a file where a directory should be")
    with pytest.raises(SettingsError, match="etc/file: File exists: move away"):
        lay_out(one("1"), tmp_path, MANIFEST)


def test_a_second_installation_changes_nothing(tmp_path: Path) -> None:
    """Neither contents nor modes nor inodes change."""
    locations = locate({"ONE_LOCATION": str(tmp_path)})
    install(locations)
    before = picture(tmp_path)
    assert {laid.effect for laid in install(locations)} == {Effect.UNCHANGED}
    assert picture(tmp_path) == before


def test_system_wide_files_go_below_the_root_of_a_package(tmp_path: Path) -> None:
    """A package's build directory stands for the root."""
    install(locate({}), tmp_path)
    assert (tmp_path / "etc/one/tm_ansible_ssh/tm_ansible_ssh.conf").is_file()
    driver = tmp_path / "usr/lib/one/mads/one_tm_ansible"
    assert driver.stat().st_mode & 0o111 == 0o111
    assert str(tmp_path) not in driver.read_text().replace(str(Path(__file__).parents[2]), "")


@pytest.mark.parametrize("model", Model)
def test_the_map_names_a_shipped_playbook_for_every_action(model: Model) -> None:
    """The maps are in oned's grammar and complete."""
    attributes = {each.name: each.value for each in parse_template(map_text(model)).attributes}
    assert set(attributes) == {verb.value for verb in Verb}
    playbooks = Path(__file__).parents[2] / "playbooks"
    for value in attributes.values():
        assert (playbooks / str(value)).is_file()


@pytest.mark.parametrize("model", Model)
def test_the_files_of_a_model_are_read_without_complaint(tmp_path: Path, model: Model) -> None:
    """As they come, rc file and settings set nothing but the defaults."""
    install(locate({"ONE_LOCATION": str(tmp_path)}))
    directory = tmp_path / "etc" / model.directory
    assert read_rc(directory / f"{model.directory}rc") == {"ONE_MAD_DEBUG": "", "PRIORITY": "19"}
    settings = load_settings(directory / "settings.yml")
    assert settings == load_settings(directory / "nosuch.yml")


def uncommented() -> str:
    """Give the template of settings.yml with its settings switched on."""
    lines = read_shared("settings.yml").replace("$name", "x").splitlines()
    keys = [line[2:] for line in lines if line.startswith("# ") and ":" in line]
    names = [*Settings.__struct_fields__, *(f"  {name}" for name in nested())]
    return "\n".join(line for line in keys if line.startswith(tuple(f"{n}:" for n in names)))


def nested() -> list[str]:
    """Give the names of the settings that stand below others."""
    structs = [value for value in fields(Settings()) if isinstance(value, msgspec.Struct)]
    return [name for struct in structs for name in struct.__struct_fields__]


def fields(struct: msgspec.Struct) -> list[object]:
    """Give the values of a struct's fields."""
    return [getattr(struct, name) for name in struct.__struct_fields__]


def test_the_commented_settings_are_all_that_there_are_with_their_defaults() -> None:
    """Switched on, every line of the template sets what is the default anyhow."""
    values = yaml.safe_load(uncommented())
    assert values == json.loads(msgspec.json.encode(Settings()))


def test_the_sections_for_oned_conf_name_maps_that_exist(tmp_path: Path) -> None:
    """What is printed can be pasted: oned's grammar, and paths relative to etc."""
    install(locate({"ONE_LOCATION": str(tmp_path)}))
    text = oned_conf()
    assert parse_template(text).attributes
    for model in Model:
        name = f"{model.directory}/{model.directory}.conf"
        assert f'arguments  = "{name}"' in text
        assert f'default    = "{name}"' in text
        assert (tmp_path / "etc" / name).is_file()
