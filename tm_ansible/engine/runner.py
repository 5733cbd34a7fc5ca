"""Runs a job's play list with ansible-runner; the only module that knows it."""

import codecs
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import ansible_runner
import ansible_runner.runner
from ansible_runner.utils import OutputEventFilter

from tm_ansible.engine.events import Event, parse_event
from tm_ansible.engine.job import Job, RunOptions
from tm_ansible.engine.options import variables, words
from tm_ansible.engine.playlist import write_project
from tm_ansible.errors import EngineError

_CHUNK = 65536
# Stands around what ansible-runner's callback tells of an event, in the midst of the output.
_MARK = "\x1b[K"
# Seconds for the last output of a run that has ended; somebody else may hold its pipe open.
_LAST_OUTPUT_SECONDS = 2.0


class Playbook(Protocol):
    """A process that runs ansible-playbook, and may stay behind a job for the next."""

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], check: bool, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run it, as ``subprocess.run`` does, which ansible-runner calls."""

    def stay(self, job: Job) -> str:
        """Have it stay when it has carried out a job.

        Args:
            job: the first.

        Returns:
            What the task says of its end, and nobody else can.
        """

    def is_current(self) -> bool:
        """Tell whether site and content are as they were when it began."""

    def go_on(self, job: Job) -> None:
        """Have it carry out another job.

        Args:
            job: with the playbook, hosts and options of the first.
        """

    def dismiss(self) -> None:
        """Have it end: there are no more jobs."""


def run(
    job: Job,
    marker_play: str,
    on_event: Callable[[Event], None],
    playbook: Playbook | None = None,
) -> int | None:
    """Run a job to its end in a private directory that is removed afterwards.

    Args:
        job: what to run.
        marker_play: name of the empty play in front of each action.
        on_event: called with each event as it happens; must be quick.
        playbook: runs ansible-playbook; None for a new process.

    Returns:
        ansible-playbook's exit status, or None if it has none.

    Raises:
        EngineError: the private directory could not be made or Ansible not be started.
    """
    try:
        # Nowhere else if that is full: the driver sweeps there.
        directory = Path(tempfile.mkdtemp(prefix="tm-", dir=os.environ.get("TMPDIR")))
    except OSError as error:
        raise EngineError(f"no directory for temporary files: {error}") from error
    try:
        playlist = write_project(directory, job, marker_play)
        if playbook and hasattr(ansible_runner.runner, "run_subprocess"):
            ansible_runner.runner.run_subprocess = playbook.run
        return _run(_configure(directory, playlist, job), on_event)
    except OSError as error:
        raise EngineError(f"cannot prepare the run: {error}") from error
    except ansible_runner.AnsibleRunnerException as error:
        raise EngineError(f"ansible-runner: {error}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def environment(directory: Path, options: RunOptions) -> dict[str, str]:
    """Give the variables of ansible-playbook's environment that are set for a run.

    Args:
        directory: the run's own.
        options: how Ansible is run.
    """
    job = Job(vm_id=-1, actions=(), options=options, collections="", marker="")
    config = _configure(directory, directory / "none.yml", job)
    return {str(name): str(value) for name, value in config.env.items()}


def _configure(directory: Path, playlist: Path, job: Job) -> ansible_runner.RunnerConfig:
    config = ansible_runner.RunnerConfig(
        private_data_dir=str(directory),
        ident=uuid.uuid4().hex,
        playbook=str(playlist),
        inventory=[str(directory / "inventory.json"), *job.options.inventories],
        cmdline=shlex.join(words(job.options)),
        envvars=variables(directory, job.options),
        suppress_output_file=True,
        fact_cache_type="",
        quiet=True,
    )
    config.prepare()
    return config


def _run(config: ansible_runner.RunnerConfig, on_event: Callable[[Event], None]) -> int | None:
    # Of no use to us, and it has the whole environment.
    unwanted = [Path(config.artifact_dir) / "command"]

    def handle(raw: dict[str, Any]) -> bool:
        while unwanted:
            unwanted.pop().unlink(missing_ok=True)
        if event := parse_event(raw):
            on_event(event)
        return False  # keep no event files

    # Pipes instead of ansible-runner's terminal, which polls and sleeps.
    config.runner_mode = "subprocess"
    runner = ansible_runner.Runner(config=config, event_handler=handle)
    events = OutputEventFilter(None, runner.event_callback, suppress_ansible_output=True)
    with _output_to(events.write) as descriptor, Path(os.devnull).open("rb") as nothing:
        config.input_fd = nothing.fileno()
        config.output_fd = config.error_fd = descriptor
        runner.run()
    status: int | None = runner.rc
    return status


@contextmanager
def _output_to(write: Callable[[str], object]) -> Iterator[int]:
    """Give a descriptor; what is written to it goes to ``write``, from another thread."""
    reading, writing = os.pipe()
    reader = threading.Thread(target=_read_all, args=(reading, write), daemon=True)
    reader.start()
    try:
        yield writing
    finally:
        os.close(writing)
        reader.join(_LAST_OUTPUT_SECONDS)


def _read_all(descriptor: int, write: Callable[[str], object]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held = ""
    while chunk := os.read(descriptor, _CHUNK):
        *pieces, held = pieces_of(held + decoder.decode(chunk))
        for piece in pieces:
            write(piece)
    write(held)
    os.close(descriptor)


def pieces_of(text: str) -> tuple[str, str, str]:
    """Split output of Ansible for ``OutputEventFilter``.

    That keeps lines for later which stand behind a token of an event in the same piece: nobody
    would hear of them before there is more output, and there may be none.

    Args:
        text: with whole tokens, or the beginnings of them at its end.

    Returns:
        what ends with the last token, what stands behind it, and what may be half a token.
    """
    half = next((part for part in (_MARK[:2], _MARK[:1]) if text.endswith(part)), "")
    whole = text.removesuffix(half)
    end = whole.rfind(_MARK) + len(_MARK) if _MARK in whole else 0
    return whole[:end], whole[end:], half
