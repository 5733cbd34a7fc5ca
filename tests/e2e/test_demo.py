"""``tm-ansible demo``: one VM's life with nothing configured."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import tm_ansible
from tm_ansible.cli import demo
from tm_ansible.cli.demo_site import Phase, Site

STATES = [
    *("ACTIVE.", "PROLOG.", "BOOT", "RUNNING", "SAVE_STOP", "EPILOG_STOP", "STOPPED", "PENDING."),
    *("ACTIVE.", "PROLOG.", "BOOT", "RUNNING", "SHUTDOWN", "EPILOG", "DONE"),
]
LINE = re.compile(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} \[(TM|LCM|DiM)\]\[I\]: (.+)")


@pytest.mark.parametrize("model", ["nfs", pytest.param("ssh", marks=pytest.mark.long)])
def test_the_demonstration_carries_a_vm_through_its_life(model: str, tmp_path: Path) -> None:
    """The log is in oned's form and tells every state; the saved disk is there at the end."""
    (home := tmp_path / "home").mkdir()
    places = {"TMPDIR": str(tmp_path), "HOME": str(home)}
    done = tm_ansible("demo", "--model", model, "--keep", more=places)
    assert done.returncode == 0, done.stdout + done.stderr
    (directory,) = tmp_path.glob("tm-ansible-demo.*")
    lines = (directory / "one/var/0/vm.log").read_text().splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    parsed = [(match[1], match[2]) for match in matches if match]
    assert len(parsed) == len(lines), lines
    states = [text.removeprefix("New VM state is ") for part, text in parsed if part != "TM"]
    assert states == STATES
    verbs = [text.split()[0] for part, text in parsed if part == "TM"]
    assert [verb for verb, before in zip(verbs, ["", *verbs], strict=False) if verb != before] == [
        *("CLONE", "LN", "MKSWAP", "CLONE", "MV", "DELETE")
    ]
    assert all(line in done.stdout for line in lines)
    assert (directory / "one/var/0/disk.3").stat().st_size == 2 << 20
    assert not (directory / "one/var/0/images").exists()
    assert not list(home.iterdir())


def test_a_step_that_fails_ends_it_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The log ends with the reason and the state as oned has them; the directory is gone."""

    def short_life(site: Site) -> Iterator[Phase]:
        script = site.var / "0" / "transfer.0"
        script.write_text(f"CLONE fe:{site.images}/nosuch node1:{site.vm_dir}/0/disk.0\n")
        yield Phase((("LCM", "PROLOG."),), script, (("LCM", "BOOT"),))

    monkeypatch.setattr(demo, "life", short_life)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert demo.run(argparse.Namespace(model="nfs", keep=False)) == 1
    last_but_one, last = capsys.readouterr().out.splitlines()[-2:]
    assert "[TM][E]: Error excuting image transfer script: CLONE node1: " in last_but_one
    assert "nosuch" in last_but_one
    assert last.endswith("[DiM][I]: New VM state is FAILED")
    assert not list(tmp_path.iterdir())
