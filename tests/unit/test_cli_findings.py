"""How findings are shown, and what is made of a host's answers."""

import json

import pytest

from tm_ansible.cli.findings import Level, bad, doubtful, failed, good, render, render_json
from tm_ansible.cli.hosts import Directory, Probed, _judge, judge_directories

PROGRAMS: dict[str, str | None] = {
    "mkswap": "/sbin/mkswap",
    "mke2fs": "/sbin/mke2fs",
    "qemu-img": "/usr/bin/qemu-img",
}


def levels(probed: Probed) -> list[Level]:
    """Give the levels of what is found on a host."""
    return [finding.level for finding in _judge("node1", probed)]


def test_findings_are_aligned_and_remedies_stand_below() -> None:
    """Texts begin in one column, whatever the subjects' lengths."""
    shown = render([good("a", "fine"), bad("longer", "broken", "mend it")]).splitlines()
    assert shown == [
        "ok    a       fine",
        "fail  longer  broken",
        "           -> mend it",
    ]


def test_only_failures_fail() -> None:
    """Warnings do not change the exit status."""
    assert not failed([good("a", "x"), doubtful("b", "x", "y")])
    assert failed([good("a", "x"), bad("b", "x", "y")])


def test_json_has_every_field() -> None:
    """Programs get what people see."""
    parsed = json.loads(render_json({"map": [doubtful("b", "x", "y")]}))
    assert parsed == {"map": [{"level": "warn", "subject": "b", "text": "x", "remedy": "y"}]}


def test_a_host_with_everything_is_well() -> None:
    """Nothing is complained about."""
    there = Directory("/vm", True, "/vm", True, 9000)
    found = levels(Probed("3.9.2", "one", PROGRAMS, (there,)))
    assert set(found) == {Level.OK}


@pytest.mark.parametrize(
    ("probed", "text"),
    [
        (Probed(unreachable=True, msg="Could not resolve hostname node1: x"), "name node1"),
        (Probed(failed=True, module_stderr="/bin/sh: 1: /usr/bin/python3: not found"), "python3"),
        (Probed("3.5.1", "one", PROGRAMS), "3.5.1"),
        (Probed("3.9.2", "one", {**PROGRAMS, "mkswap": None}), "mkswap"),
        (Probed("3.9.2", "one", PROGRAMS, (Directory("/v", True, "/v", False, 9000),)), "/v"),
        (Probed(), "no answer"),
    ],
)
def test_what_a_host_lacks_fails_with_a_remedy(probed: Probed, text: str) -> None:
    """Each fault gives exactly one failure, which names it."""
    faults = [finding for finding in _judge("node1", probed) if finding.level is Level.FAIL]
    assert len(faults) == 1
    assert text in faults[0].text
    assert faults[0].remedy


def test_tools_for_images_are_only_advised() -> None:
    """A host without mke2fs and qemu-img can do all but MKIMAGE."""
    found = levels(Probed("3.9.2", "one", {"mkswap": "/sbin/mkswap"}))
    assert found.count(Level.WARN) == 2
    assert Level.FAIL not in found


def test_little_space_is_a_warning() -> None:
    """Less than a GiB will not do for long."""
    (found,) = judge_directories("h", [Directory("/v", False, "/", True, 900)])
    assert found.level is Level.WARN


def test_one_allowed_directory_will_do() -> None:
    """A host may have no use for the front-end's, nor the front-end for those of hosts."""
    closed, usable = (
        Directory("/a", True, "/a", False, 9000),
        Directory("/b", True, "/b", True, 9000),
    )
    found = [each.level for each in judge_directories("h", [closed, usable])]
    assert found == [Level.WARN, Level.OK]
    found = [each.level for each in judge_directories("h", [closed, closed])]
    assert found == [Level.FAIL, Level.FAIL]
