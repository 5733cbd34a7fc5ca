"""What a site brings along: inventories, variables, vaults, playbooks of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hosts import SshHost, write_inventory
from tests.support.oned import Transferred
from tests.support.site import Site

VAULT = [str(Path(sys.executable).parent / "ansible-vault"), "encrypt", "--vault-password-file"]


@pytest.fixture
def dummy(tmp_path: Path) -> Site:
    """Give a site whose actions do nothing, until a test replaces one."""
    return Site(tmp_path, "dummy").install()


def clone_with(
    site: Site,
    playbook: str,
    source: str = "fe:/a",
    destination: str = "fe:/vm/7/images/disk.0",
) -> Transferred:
    """Have one CLONE carried out by a playbook that stands beside the action map."""
    (site.etc / "own.yml").write_text(playbook)
    action_map = site.etc / f"tm_ansible_{site.model}.conf"
    lines = action_map.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("CLONE")]
    action_map.write_text("\n".join(["CLONE = own.yml", *kept, ""]))
    with site.start() as oned:
        done = oned.transfer(7, f"CLONE {source} {destination}\n")
        done.log.extend(f"oned.log: {line}" for line in oned.logs(-1))
    return done


def test_own_playbook_gets_the_variables(dummy: Site) -> None:
    """The variables of the contract reach a site's own playbook, and its message the VM's log."""
    done = clone_with(
        dummy,
        """
- hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ tm_verb }} {{ tm_vm_id }} {{ tm_source }} {{ tm_destination }} {{ tm_mode }}"
""",
    )
    assert done.ok, done.reason
    assert done.log == ["CLONE fe: CLONE 7 fe:/a fe:/vm/7/images/disk.0 a+w"]


def test_task_names_become_lines_and_preparation_does_not(dummy: Site) -> None:
    """A task of a site appears by its name and duration; set_fact and skipped tasks do not."""
    done = clone_with(
        dummy,
        """
- hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - name: Remember something
      ansible.builtin.set_fact: {tm_thing: 1}
    - name: Ask the CMDB
      ansible.builtin.command: "true"
      changed_when: false
    - name: Never mind
      ansible.builtin.command: "true"
      when: false
""",
    )
    assert done.ok, done.reason
    assert len(done.log) == 1
    assert done.log[0].startswith("CLONE fe: Ask the CMDB (")


def test_value_with_braces_stays_as_it_is(dummy: Site, tmp_path: Path) -> None:
    """A template in a path is data: it is neither evaluated nor refused."""
    hostile = "fe:/{{lookup('pipe','touch${IFS}" + str(tmp_path) + "/hit')}}"
    done = clone_with(
        dummy,
        """
- hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "{{ tm_source }}"}
""",
        source=hostile,
    )
    assert done.ok, done.reason
    assert done.log == [f"CLONE fe: {hostile}"]
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize(
    ("playbook", "reason"),
    [
        (
            (
                '- hosts: "{{ tm_host }}"\n  gather_facts: false\n  tasks:\n'
                "    - ansible.builtin.fail: {msg: not for this cluster}\n"
            ),
            "CLONE fe: not for this cluster",
        ),
        ("- hosts: [\n", "YAML parsing failed"),
        (
            (
                '- hosts: "{{ tm_host }}"\n  gather_facts: false\n  tasks:\n'
                '    - ansible.builtin.debug: {msg: "{{ nosuch }}"}\n'
            ),
            "nosuch",
        ),
        ("- hosts: nobody\n  gather_facts: false\n  tasks: []\n", "without a task on any host"),
        (
            (
                "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
                "    - one.tm.clone: {source: /a}\n"
            ),
            "destination",
        ),
    ],
    ids=["fail", "unparsable", "undefined", "no-hosts", "arguments"],
)
def test_each_shape_of_failure_has_its_reason(dummy: Site, playbook: str, reason: str) -> None:
    """Whatever goes wrong in a playbook, the reply says it in one line."""
    done = clone_with(dummy, playbook)
    assert not done.ok
    assert done.reason.startswith("CLONE fe: ")
    assert reason in done.reason


def test_no_log_stays_secret(dummy: Site) -> None:
    """What no_log hides from Ansible's output is in no line and no reason, success or failure."""
    for result in ("0", "1"):
        done = clone_with(
            dummy,
            f"""
- hosts: "{{{{ tm_host }}}}"
  gather_facts: false
  vars: {{password: xyzzy-secret}}
  tasks:
    - name: Log in
      one.tm.run:
        argv: [sh, -c, "echo {{{{ password }}}} >&2; exit {result}"]
      no_log: true
""",
        )
        assert done.ok is (result == "0")
        assert "xyzzy-secret" not in "\n".join([*done.log, done.reason])


def test_group_variables_and_vault_apply(
    front_end: Path, nodes: dict[str, SshHost], control_path_dir: Path, tmp_path: Path
) -> None:
    """A host's port from an encrypted file and its group's tm_mode hold for its transfers."""
    site = Site(front_end / tmp_path.name, "ssh")
    directory = tmp_path / "inventory"
    directory.mkdir()
    port = nodes["node1"].port
    inventory = write_inventory(directory / "hosts.ini", [nodes["node1"]], control_path_dir)
    inventory.write_text(inventory.read_text().replace(f'ansible_port="{port}"', ""))
    (directory / "group_vars").mkdir()
    secret = directory / "group_vars" / "nodes.yml"
    secret.write_text(f'ansible_port: {port}\ntm_mode: "0640"\n')
    (tmp_path / "password").write_text("open sesame\n")
    subprocess.run([*VAULT, str(tmp_path / "password"), str(secret)], check=True)
    site.install(
        f"ansible: {{vault_password_file: {tmp_path}/password}}\n", inventories=[inventory]
    )
    (site.images / "a.img").write_bytes(b"image")
    disk = site.vm_dir(7) / "images" / "disk.0"
    with site.start() as oned:
        done = oned.transfer(7, f"CLONE fe:{site.images}/a.img node1:{disk}\n")
        assert done.ok, done.reason
    assert nodes["node1"].path(disk).stat().st_mode & 0o777 == 0o640


def test_host_that_is_named_like_a_group_is_one_host(tmp_path: Path) -> None:
    """An action for node1 runs on the host of that name, not on all hosts of a group node1."""
    site = Site(tmp_path, "dummy")
    inventory = tmp_path / "inventory.ini"
    inventory.write_text("[node1]\nx1\nx2\n[all:vars]\nansible_connection=local\n")
    site.install(inventories=[inventory])
    playbook = """
- hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "on {{ inventory_hostname }}"}
"""
    done = clone_with(site, playbook, destination="node1:/vm/7/images/disk.0")
    assert done.ok, done.reason
    assert done.log == ["CLONE node1: on node1"]


def test_host_of_no_inventory_is_added(dummy: Site) -> None:
    """A host that no inventory has is reached by its name; that it does not exist is told."""
    (dummy.etc / "own.yml").write_text(
        """
- hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
"""
    )
    action_map = dummy.etc / "tm_ansible_dummy.conf"
    action_map.write_text("CLONE = own.yml\n")
    host = "node-without-inventory.invalid"
    with dummy.start() as oned:
        done = oned.transfer(7, f"CLONE fe:/a {host}:/vm/7/images/disk.0\n")
    told = f"CLONE {host}: cannot reach {host}: the name {host} is unknown"
    assert done.reason.startswith(told)


def test_time_limit_of_an_action(tmp_path: Path) -> None:
    """An action that takes longer than the limit is ended, with the setting in the reason."""
    site = Site(tmp_path, "dummy").install("limits: {action_seconds: 3}\n")
    done = clone_with(
        site,
        """
- hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - ansible.builtin.command: sleep 61.75
""",
    )
    assert done.reason == "CLONE fe: not finished within 3 s (setting limits.action_seconds)"
    running = subprocess.run(["pgrep", "-f", "sleep 61.75"], capture_output=True, check=False)
    assert not running.stdout
