"""What Ansible makes of a site's inventories and playbooks, with all that the driver would set."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tm_ansible.actions import job_for
from tm_ansible.cli.session import new_marker
from tm_ansible.configuration import Configuration
from tm_ansible.engine.job import PlaybookRun
from tm_ansible.engine.options import variables, words
from tm_ansible.engine.playlist import write_project
from tm_ansible.errors import EngineError

_SECONDS = 120.0
_MOST_SHOWN = 500


class _Group(msgspec.Struct, frozen=True):
    """A group as ansible-inventory lists it."""

    hosts: tuple[str, ...] = ()


def host_names(configuration: Configuration) -> list[str]:
    """List the hosts of the inventories that the settings name.

    Args:
        configuration: of the driver.

    Raises:
        EngineError: an inventory is wrong; the text is Ansible's.
    """
    # Without these, a file that no plugin understands counts as an empty inventory.
    strict = {
        f"ANSIBLE_INVENTORY_{name}": "1" for name in ("UNPARSED_FAILED", "ANY_UNPARSED_IS_FAILED")
    }
    options = _inventories(configuration)
    if configuration.options.vault_password_file:
        options += ["--vault-password-file", configuration.options.vault_password_file]
    with tempfile.TemporaryDirectory(prefix="tm-ansible.") as name:
        command = ["ansible-inventory", "--list", *options]
        listed = _ask(configuration, Path(name), command, **strict)
    groups = msgspec.json.decode(listed, type=dict[str, _Group])
    return sorted({host for group in groups.values() for host in group.hosts})


def complaint_about(configuration: Configuration, playbook: str) -> str:
    """Have a playbook of the site parsed, and give what Ansible complains of; empty if of nothing.

    Args:
        configuration: of the driver.
        playbook: its absolute path.
    """
    job = job_for(-1, [], configuration, marker=new_marker())
    action = PlaybookRun(labels=("check",), playbook=playbook, variables={"tm_host": "localhost"})
    with tempfile.TemporaryDirectory(prefix="tm-ansible.") as name:
        job = msgspec.structs.replace(job, actions=(action,))
        playlist = write_project(Path(name), job, "Check")
        options = ["-i", f"{name}/inventory.json", *_inventories(configuration)]
        options += words(configuration.options)
        command = ["ansible-playbook", "--syntax-check", *options, "--", str(playlist)]
        try:
            _ask(configuration, Path(name), command)
        except EngineError as error:
            return str(error)
    return ""


def _inventories(configuration: Configuration) -> list[str]:
    return [word for path in configuration.options.inventories for word in ("-i", path)]


def _ask(configuration: Configuration, directory: Path, command: Sequence[str], **more: str) -> str:
    """Run one of Ansible's commands, and give what it says."""
    site = {**configuration.environment, **variables(directory, configuration.options)}
    try:
        done = subprocess.run(
            command,
            env={**site, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise EngineError(" ".join(done.stderr.split())[:_MOST_SHOWN])
    return done.stdout
