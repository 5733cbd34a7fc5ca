"""What a site gives to runs in files: a change is seen, and what programs say is not compared."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tm_ansible.engine import inputs
from tm_ansible.engine.job import RunOptions


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    """Give the options of a site with an inventory, a directory of them, and variables."""
    (tmp_path / "hosts.ini").write_text("[nodes]\nn1\n")
    (tmp_path / "more" / "host_vars").mkdir(parents=True)
    (tmp_path / "more" / "nodes.yml").write_text("nodes: {hosts: {n2: {}}}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("plugin: none of Ansible's\n")
    (tmp_path / "extra.yml").write_text("{}\n")
    return RunOptions(
        inventories=(str(tmp_path / "hosts.ini"), str(tmp_path / "more")),
        extra_vars_files=(str(tmp_path / "extra.yml"),),
        vault_password_file=str(tmp_path / "vault"),
    )


def rewrite(path: Path) -> None:
    """Change one letter of a file, and say that it is as old as it was."""
    status, text = path.stat(), path.read_text()
    path.write_text(text[:-2] + "#" + text[-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda place: rewrite(place / "hosts.ini"),
        lambda place: rewrite(place / "group_vars" / "all.yml"),
        lambda place: rewrite(place / "extra.yml"),
        lambda place: (place / "more" / "host_vars" / "n2.yml").touch(),
        lambda place: (place / "more" / "nodes.yml").unlink(),
        lambda place: (place / "vault").touch(),
        lambda place: (place / "host_vars").mkdir(),
    ],
)
def test_a_change_is_seen(
    options: RunOptions, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """A file that changes, comes or goes makes another state; time alone does not."""
    before = inputs.state(options)
    assert inputs.state(options) == before
    change(tmp_path)
    assert inputs.state(options) != before


def test_links_to_directories_are_followed(options: RunOptions, tmp_path: Path) -> None:
    """Variables may lie elsewhere, and links lead in a circle."""
    common = tmp_path / "elsewhere" / "common"
    common.mkdir(parents=True)
    (common / "all.yml").write_text("a: 1\n")
    (common / "circle").symlink_to(common)
    (tmp_path / "more" / "group_vars").symlink_to(common)
    before = inputs.state(options)
    assert inputs.state(options) == before
    rewrite(common / "all.yml")
    assert inputs.state(options) != before


@pytest.mark.parametrize("follow", [True, False])
def test_links_that_lead_nowhere(tmp_path: Path, follow: bool) -> None:
    """They are files as others are, whatever the system says of them."""
    for name, target in (
        ("self", "self"),
        ("below", "file/x"),
        ("none", "gone"),
        ("long", "x" * 999),
    ):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "file").touch()
    found = [state[0] for state in inputs.states_below(str(tmp_path), follow=follow)]
    assert sorted(found) == sorted(str(path) for path in tmp_path.iterdir())


def test_directories_that_link_to_each_other(tmp_path: Path) -> None:
    """Each is read once more than by its own name, at most."""
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
        for other in "abcdefgh":
            (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    assert len(list(inputs.states_below(str(tmp_path), follow=True))) <= 8 * 8 * 2


def test_links_to_itself_are_not_followed(tmp_path: Path) -> None:
    """A tree that links to what holds it is read once, if nobody is to follow its links."""
    (tmp_path / "content" / "playbooks").mkdir(parents=True)
    (tmp_path / "content" / "playbooks" / "collections").symlink_to(tmp_path)
    (tmp_path / "other").touch()
    found = list(inputs.states_below(str(tmp_path / "content")))
    assert [state[0] for state in found] == [
        str(tmp_path / "content" / "playbooks" / "collections")
    ]


def test_files_are_compared(options: RunOptions) -> None:
    """Variables may have any name: only an inventory can ask a plugin."""
    assert inputs.are_files(options)


@pytest.mark.parametrize(
    ("name", "text", "mode"),
    [
        ("cloud.yml", "plugin: amazon.aws.aws_ec2\n", 0o644),
        ("cloud.yaml", "---\n'plugin' : one.two.three\n", 0o644),
        ("cloud.yml", "--- {plugin: one.two.three}\n", 0o644),
        ("cloud.json", '{"strict": true, "plugin": "constructed"}', 0o644),
        ("cloud.yml", "$ANSIBLE_VAULT;1.1;AES256\n3132\n", 0o644),
        ("cloud.py", "#!/bin/sh\necho {}\n", 0o755),
    ],
)
def test_programs_are_not(
    options: RunOptions, tmp_path: Path, name: str, text: str, mode: int
) -> None:
    """A plugin or a program among the inventories is asked by each run."""
    (tmp_path / "more" / name).write_text(text)
    (tmp_path / "more" / name).chmod(mode)
    assert not inputs.are_files(options)


def test_what_is_not_there_is_not_compared(options: RunOptions, tmp_path: Path) -> None:
    """The run tells what is wrong with an inventory."""
    (tmp_path / "hosts.ini").unlink()
    assert not inputs.are_files(options)
