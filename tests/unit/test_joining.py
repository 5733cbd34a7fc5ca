"""Neighbouring actions of our own playbooks become one run; everything else stays as it is."""

from pathlib import Path

import pytest

from tm_ansible.engine.job import PlaybookRun
from tm_ansible.joining import join

PLAYBOOKS = Path("/content/playbooks")


def run(playbook: str, **words: str | int) -> PlaybookRun:
    """Give an action, by default on node1."""
    host = str(words.pop("host", "node1"))
    variables = {f"tm_{name}": word for name, word in words.items()}
    path = playbook if playbook.startswith("/") else f"{PLAYBOOKS}/{playbook}"
    common = {"tm_verb": "X", "tm_vm_id": 7, "tm_host": host, "tm_arguments": []}
    return PlaybookRun(labels=(f"X {host}",), playbook=path, variables=common | variables)


CLONE = run("ssh/clone.yml", source="fe:/a", destination="node1:/b")
SWAP = run("ssh/mkswap.yml", size_mib=16, destination="node1:/c")
DELETE = run("ssh/delete.yml", source="node1:/d")


def test_neighbours_on_one_host_are_joined() -> None:
    """The playbook of several actions gets each one's words; the labels stay in order."""
    (joined,) = join([CLONE, SWAP], PLAYBOOKS)
    assert joined.labels == ("X node1", "X node1")
    assert joined.playbook == f"{PLAYBOOKS}/ssh/actions.yml"
    assert joined.variables == {
        "tm_vm_id": 7,
        "tm_host": "node1",
        "tm_actions": [
            {"action": "clone", "source": "fe:/a", "destination": "node1:/b"},
            {"action": "mkswap", "destination": "node1:/c", "size_mib": 16},
        ],
    }


@pytest.mark.parametrize(
    "other",
    [
        run("/etc/one/tm_site/clone.yml", source="fe:/a", destination="node1:/b"),
        run("ssh/clone.yml", source="https://x/a", destination="node1:/b"),
        run("ssh/mkimage.yml", source="fe:/files", destination="node1:/b"),
        run("ssh/mv.yml", source="node2:/a", destination="node1:/b"),
        run("ssh/mv.yml", source="[fd00::2]:/a", destination="[fd00::1]:/b"),
        run("script.yml", source="fe:/a", destination="node1:/b"),
        run("dummy/clone.yml", source="fe:/a", destination="node1:/b"),
    ],
    ids=[
        "site's",
        "URL",
        "directory",
        "from afar",
        "IPv6",
        "script",
        "dummy",
    ],
)
def test_what_one_task_cannot_do_stays_alone(other: PlaybookRun) -> None:
    """A site's playbook, and actions of several tasks, are not joined."""
    before, itself, behind = join([SWAP, DELETE, other, SWAP], PLAYBOOKS)
    assert itself == other
    assert [len(before.labels), len(behind.labels)] == [2, 1]


@pytest.mark.parametrize(
    "other",
    [
        run("ssh/clone.yml", source="fe:/a", destination="node2:/b", host="node2"),
        run("nfs/clone.yml", source="fe:/a", destination="node1:/b"),
    ],
    ids=["other host", "other model"],
)
def test_a_task_is_of_one_model_and_host(other: PlaybookRun) -> None:
    """What is of another one has a task of its own."""
    before, itself, behind = join([SWAP, DELETE, other, SWAP], PLAYBOOKS)
    assert itself.playbook == str(Path(other.playbook).with_name("actions.yml"))
    assert itself.variables["tm_host"] == other.variables["tm_host"]
    assert [len(each.labels) for each in (before, itself, behind)] == [2, 1, 1]


def test_a_single_action_is_as_one_of_several() -> None:
    """It sees the same variables whether or not others stand beside it."""
    (alone,) = join([DELETE], PLAYBOOKS)
    assert alone.playbook == f"{PLAYBOOKS}/ssh/actions.yml"
    assert alone.variables["tm_actions"] == [{"action": "delete", "source": "node1:/d"}]


def test_the_same_twice_stays_two() -> None:
    """Two actions of a site's playbook are two runs."""
    site = run("/site/ln.yml", source="fe:/a", destination="node1:/b")
    assert join([site, site], PLAYBOOKS) == (site, site)


def test_order_is_kept() -> None:
    """Nothing is joined across what stands between."""
    site = run("/site/ln.yml", source="fe:/a", destination="node1:/b")
    runs = join([CLONE, SWAP, site, DELETE], PLAYBOOKS)
    assert [len(each.labels) for each in runs] == [2, 1, 1]
    assert runs[1] == site


def test_move_on_one_host_is_joined() -> None:
    """A move needs no second host where script and storage model say so."""
    here = run("ssh/mv.yml", source="node1:/a", destination="node1:/b")
    assert len(join([here, DELETE], PLAYBOOKS)) == 1
    shared = run("nfs/mv.yml", source="node2:/a", destination="fe:/b", host="localhost")
    delete = run("nfs/delete.yml", source="node2:/a", host="localhost")
    assert len(join([shared, delete], PLAYBOOKS)) == 1
