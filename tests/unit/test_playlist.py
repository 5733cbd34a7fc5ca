"""The files of a run's private directory."""

import tempfile
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.engine.job import Job, PlaybookRun
from tm_ansible.engine.playlist import write_project

HARMLESS = ["!", "&", "*"]


def job(variables: dict[str, object], defaults: dict[str, object] | None = None) -> Job:
    """Give a job of one action."""
    action = PlaybookRun(labels=("CLONE node1",), playbook="/p/clone.yml", variables=variables)
    return Job(
        vm_id=7,
        actions=(action,),
        hosts=("node1",),
        defaults=defaults or {},
        collections="/c",
        marker="m",
    )


class _Tagged(yaml.SafeLoader):
    """Tells a text that is marked unsafe from one that is not."""


_Tagged.add_constructor("!unsafe", lambda loader, node: ("unsafe", loader.construct_scalar(node)))


@given(st.text(st.characters(codec="utf-8")))
def test_every_text_is_written_unsafe_and_comes_back(text: str) -> None:
    """Whatever a script holds reaches Ansible as the same text, marked as data."""
    with tempfile.TemporaryDirectory() as directory:
        written = write_project(Path(directory), job({"tm_source": text}), "marker").read_text()
    plays = yaml.load(written, Loader=_Tagged)  # noqa: S506 - a SafeLoader with one tag
    assert plays[1]["vars"]["tm_source"] == (text if text in HARMLESS else ("unsafe", text))


@pytest.mark.parametrize("text", HARMLESS)
def test_texts_that_yaml_takes_for_tags_come_back(tmp_path: Path, text: str) -> None:
    """As they do without Ansible's mark, which they do not need."""
    path = write_project(
        tmp_path, job({"tm_arguments": [text]}, {"tm_url_hosts": [text]}), "marker"
    )
    assert DataLoader().load_from_file(str(path))[1]["vars"] == {"tm_arguments": [text]}
    group = DataLoader().load_from_file(str(tmp_path / "inventory.json"))["all"]
    assert group["vars"]["tm_url_hosts"] == [text]


def test_ansible_itself_reads_it(tmp_path: Path) -> None:
    """Ansible's loader takes the play list, lists inside variables included."""
    path = write_project(tmp_path, job({"tm_arguments": ["{{ 1 + 1 }}"], "tm_vm_id": 7}), "marker")
    marker, action = DataLoader().load_from_file(str(path))
    assert marker == {"name": "marker", "hosts": "all:!all", "gather_facts": False, "tasks": []}
    assert action["vars"] == {"tm_arguments": ["{{ 1 + 1 }}"], "tm_vm_id": 7}
    assert action["ansible.builtin.import_playbook"] == "/p/clone.yml"


def test_inventory_holds_hosts_and_defaults(tmp_path: Path) -> None:
    """The job's hosts exist even if no inventory knows them; defaults are of the group all."""
    write_project(tmp_path, job({}, {"tm_mode": "a+w"}), "marker")
    group = DataLoader().load_from_file(str(tmp_path / "inventory.json"))["all"]
    assert group["hosts"] == {"node1": {}}
    assert group["vars"]["tm_mode"] == "a+w"
    assert group["vars"]["ansible_python_interpreter"] == "/usr/bin/python3"
