"""The helper functions' equivalents for playbooks, the probe, and the inventories' examples."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.one.tm.plugins.module_utils import running
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from worlds import ROOT, Played

from tests.support.processes import alive

Play = Callable[..., Played]
Tasks = Callable[..., Played]
INVENTORY = ROOT / "inventory"


@pytest.fixture
def tasks(play: Play, tmp_path: Path) -> Tasks:
    """Give a function that runs tasks on this machine."""

    def run(*todo: dict[str, Any], options: tuple[str, ...] = ()) -> Played:
        plays = [{"hosts": "localhost", "gather_facts": False, "tasks": list(todo)}]
        (tmp_path / "tasks.yml").write_text(yaml.safe_dump(plays))
        environment = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections")}
        return play(str(tmp_path / "tasks"), {"none": ""}, *options, environment=environment)

    return run


def test_log_shows_lines_with_their_severity(tasks: Tasks) -> None:
    """A text with commas is one line, a list or a text of several lines are several."""
    played = tasks(
        {"one.tm.log": {"message": "Link a, b"}},
        {"one.tm.log": {"message": ["x\ny", 7], "severity": "W"}},
    ).succeeded()
    lines = [line for line in played.output.splitlines() if line.startswith("tm_log ")]
    assert lines == ["tm_log I: Link a, b", "tm_log W: x", "tm_log W: y", "tm_log W: 7"]
    assert played.changed == 0


def test_run_logs_the_command_and_gives_its_output(tasks: Tasks, tmp_path: Path) -> None:
    """Words are passed on as they are; directory and variables are the task's."""
    argv = ["sh", "-c", 'echo "$1 $NAME"; pwd', "sh", "$(id) *"]
    played = tasks(
        {
            "one.tm.run": {"argv": argv, "chdir": str(tmp_path), "environment": {"NAME": "7"}},
            "register": "done",
        },
        {"ansible.builtin.debug": {"msg": "{{ done.stdout_lines | to_json }}"}},
    ).succeeded()
    assert f'[\\"$(id) * 7\\", \\"{tmp_path}\\"]' in played.output
    assert "Executed " in played.output


def test_run_shows_no_secrets_of_a_url(tmp_path: Path) -> None:
    """A site's task file hands its URL to a program as it is."""
    out, url = tmp_path / "out", "ftp://me:s3cret@host/a?s3cret"
    argv = ["sh", "-c", 'echo "$2" >"$1"; exit $3', "sh", str(out), url]
    params = {"timeout": 0, "chdir": None, "environment": {}, "creates": None}
    told = running.run({**params, "argv": [*argv, "0"]}, False)["tm_log"]
    told += running.run({**params, "argv": argv}, True)["tm_log"]
    with pytest.raises(TmError) as caught:
        running.run({**params, "argv": [*argv, "3"]}, False)
    text = " ".join([*told, caught.value.message, *caught.value.detail])
    assert out.read_text() == url + "\n"
    assert text.count("ftp://host/a") >= 3
    assert "s3cret" not in text


def test_run_fails_with_the_commands_own_error(tasks: Tasks) -> None:
    """The last line of stderr is the reason, or how the command ended."""
    failures: list[tuple[dict[str, Any], str]] = [
        ({"argv": ["ls", "/nosuch"]}, "No such file or directory"),
        ({"argv": ["false"]}, "ended with status 1"),
        ({"argv": ["sleep", "60"], "timeout": 1}, "did not end within 1 s"),
        ({"argv": ["nosuch-program"]}, "nosuch-program: no such file or directory"),
        ({"argv": []}, "argv names no program"),
    ]
    played = tasks(*({"one.tm.run": each, "ignore_errors": True} for each, _ in failures))
    messages = [part.splitlines()[0] for part in played.output.split('"msg": "')[1:]]
    assert len(messages) == len(failures), played.output
    for message, (_, reason) in zip(messages, failures, strict=True):
        assert reason in message


def test_run_ends_all_that_the_command_has_started(tasks: Tasks, tmp_path: Path) -> None:
    """The time limit holds for children in process groups of their own, too."""
    script = f"timeout 300 sleep 300 & echo $! >{tmp_path}/pid; wait"
    played = tasks({"one.tm.run": {"argv": ["sh", "-c", script], "timeout": 1}})
    assert played.status == 2
    assert not alive(int((tmp_path / "pid").read_text()))


def test_run_does_nothing_where_its_file_exists_or_in_check_mode(
    tasks: Tasks, tmp_path: Path
) -> None:
    """It tells what it would have done."""
    made = str(tmp_path / "made")
    task = {"one.tm.run": {"argv": ["touch", made], "creates": made}}
    assert "would execute " in tasks(task, options=("--check",)).succeeded().output
    assert not (tmp_path / "made").exists()
    assert tasks(task).succeeded().changed == 1
    assert tasks(task).succeeded().changed == 0


def test_the_probe_tells_what_is_there(tasks: Tasks, tmp_path: Path) -> None:
    """A directory that is still to be made is judged by the nearest one that exists."""
    tasks(
        {
            "one.tm.probe": {
                "programs": ["sh", "nosuch-program"],
                "directories": [str(tmp_path), str(tmp_path / "a" / "b")],
            },
            "register": "found",
        },
        {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": f"{tmp_path}/found"}},
    ).succeeded()
    found = json.loads((tmp_path / "found").read_text())
    assert found["programs"]["sh"].endswith("/sh")
    assert found["programs"]["nosuch-program"] is None
    there, coming = found["directories"]
    assert (there["exists"], there["within"]) == (True, str(tmp_path))
    assert (coming["exists"], coming["within"]) == (False, str(tmp_path))
    assert there["writable"]
    assert there["free_mib"] > 0


def listed(path: Path) -> dict[str, Any]:
    """Give an inventory as Ansible sees it."""
    done = subprocess.run(
        ["ansible-inventory", "-i", str(path), "--list"], capture_output=True, check=True, text=True
    )
    assert done.stderr == ""
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_one_cluster_has_one_way_in() -> None:
    """The group's variables hold for all of its hosts, a host's own win."""
    hosts = listed(INVENTORY / "one-cluster.yml")["_meta"]["hostvars"]
    assert set(hosts) == {"node1", "node2", "node3"}
    assert {each["ansible_user"] for each in hosts.values()} == {"oneadmin"}
    assert [name for name, each in hosts.items() if "tm_allowed_dirs" in each] == ["node3"]


def test_two_clusters_have_two_ways_in() -> None:
    """Users, keys and privilege escalation differ by group."""
    hosts = listed(INVENTORY / "two-clusters.yml")["_meta"]["hostvars"]
    assert hosts["prod02"]["ansible_user"] == "oneadmin"
    assert "ansible_become" not in hosts["prod02"]
    assert hosts["lab1"]["ansible_user"] == "debian"
    assert hosts["lab1"]["ansible_become"] is True


def test_the_dynamic_inventory_knows_the_hosts_of_opennebula() -> None:
    """Clusters become groups, attributes become variables."""
    parsed = listed(INVENTORY / "dynamic.py")
    assert parsed["fast_disks"]["hosts"] == ["node2"]
    assert parsed["_meta"]["hostvars"]["node2"] == {"ansible_user": "debian", "tm_group": "kvm"}


def test_the_dynamic_inventory_answers_for_one_host(tmp_path: Path) -> None:
    """--host gives the variables of one host, and of an only host that is no list."""
    pool = {"HOST_POOL": {"HOST": {"NAME": "only", "TEMPLATE": {"ANSIBLE_HOST": "192.0.2.9"}}}}
    (tmp_path / "hosts.json").write_text(json.dumps(pool))
    done = subprocess.run(
        [str(INVENTORY / "dynamic.py"), "--host", "only"],
        env={"TM_HOSTS_FILE": str(tmp_path / "hosts.json"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout) == {"ansible_host": "192.0.2.9"}
