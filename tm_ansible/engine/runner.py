"""Runs a job's play list with ansible-runner; the only module that knows it."""

import shlex
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_runner

from tm_ansible.engine.events import Event, parse_event
from tm_ansible.engine.job import Job, RunOptions
from tm_ansible.engine.playlist import write_project
from tm_ansible.errors import EngineError

# Seconds between two looks at the cancel callback while Ansible is silent (the default is 5).
_POLL_SECONDS = 0.25


def run(
    job: Job,
    marker_play: str,
    on_event: Callable[[Event], None],
    cancelled: Callable[[], bool],
) -> int | None:
    """Run a job to its end in a private directory that is removed afterwards.

    Args:
        job: what to run.
        marker_play: name of the empty play in front of each action.
        on_event: called with each event as it happens; must be quick.
        cancelled: asked several times a second; True ends the run.

    Returns:
        ansible-playbook's exit status, or None if it has none.

    Raises:
        EngineError: the private directory could not be made or Ansible not be started.
    """
    try:
        directory = Path(tempfile.mkdtemp(prefix="tm-"))
    except OSError as error:
        raise EngineError(f"no directory for temporary files: {error}") from error
    try:
        playlist = write_project(directory, job, marker_play)
        return _run(directory, playlist, job, on_event, cancelled)
    except OSError as error:
        raise EngineError(f"cannot prepare the run: {error}") from error
    except ansible_runner.AnsibleRunnerException as error:
        raise EngineError(f"ansible-runner: {error}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(
    directory: Path,
    playlist: Path,
    job: Job,
    on_event: Callable[[Event], None],
    cancelled: Callable[[], bool],
) -> int | None:
    def handle(raw: dict[str, Any]) -> bool:
        if event := parse_event(raw):
            on_event(event)
        return False  # keep no event files

    result = ansible_runner.run(
        private_data_dir=str(directory),
        ident=uuid.uuid4().hex,
        playbook=str(playlist),
        inventory=[str(directory / "inventory.yml"), *job.options.inventories],
        cmdline=_command_line(job.options),
        envvars=_environment(directory, job.options),
        settings={"pexpect_timeout": _POLL_SECONDS, "suppress_output_file": True},
        fact_cache_type="",
        quiet=True,
        event_handler=handle,
        cancel_callback=cancelled,
    )
    status: int | None = result.rc
    return status


def _environment(directory: Path, options: RunOptions) -> dict[str, str]:
    environment = {
        "ANSIBLE_HOST_KEY_CHECKING": str(options.host_key_checking),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
    }
    if options.ansible_config:
        environment["ANSIBLE_CONFIG"] = options.ansible_config
    return environment


def _command_line(options: RunOptions) -> str:
    """The options as one string of words: ansible-runner splits it as a shell would."""
    words = ["--timeout", str(options.connect_seconds)]
    for path in options.extra_vars_files:
        words += ["--extra-vars", f"@{path}"]
    for name, value in (
        ("--vault-password-file", options.vault_password_file),
        ("--user", options.remote_user),
        ("--private-key", options.private_key_file),
        ("--become-user", options.become_user),
    ):
        if value:
            words += [name, value]
    words += ["--become"] if options.become else []
    words += ["--check"] if options.check else []
    return shlex.join(words)
