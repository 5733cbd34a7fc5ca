"""What commands that carry out actions share: the configuration, and one run of the engine."""

import argparse
import contextlib
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tm_ansible.actions import job_for
from tm_ansible.cli.console import PlainOutput, output
from tm_ansible.cli.install import map_text
from tm_ansible.cli.model import Model
from tm_ansible.configuration import Configuration, load_configuration
from tm_ansible.engine.holdings import directories, directory_prefix, end_orphans
from tm_ansible.engine.job import Job, Outcome
from tm_ansible.engine.process import ProcessEngine
from tm_ansible.errors import EngineError, SettingsError, TmAnsibleError
from tm_ansible.script import Action

_PREFIX = "cli"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how actions are carried out."""
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--model", choices=[model.value for model in Model], help="a storage model as it comes"
    )
    how.add_argument(
        "--map", metavar="MAP", help="an action map, absolute or below OpenNebula's etc directory"
    )
    parser.add_argument(
        "--vm", type=int, default=-1, metavar="N", help="number of the VM, for the playbooks"
    )
    parser.add_argument(
        "-i",
        "--inventory",
        action="append",
        default=[],
        metavar="INVENTORY",
        help="inventory of hosts, in addition to those of the settings; may be repeated",
    )
    parser.add_argument("--check", action="store_true", help="tell what would be done, do nothing")


@contextlib.contextmanager
def configuration_of(arguments: argparse.Namespace) -> Iterator[Configuration]:
    """Give the configuration that the options name.

    Raises:
        SettingsError: it is missing or wrong.
    """
    if arguments.map:
        with_map = load_configuration(arguments.map, os.environ)
        yield _with_inventories(with_map, arguments.inventory)
        return
    model = Model(arguments.model)
    with tempfile.TemporaryDirectory(prefix="tm-ansible.") as directory:
        path = Path(directory, f"{model.directory}.conf")
        path.write_text(map_text(model), encoding="utf-8")
        shipped = load_configuration(str(path), os.environ)
        # This map has no place that lasts, and so none beside it either.
        lasting = replace(shipped, defaults={**shipped.defaults, "tm_schemes_dir": ""})
        yield _with_inventories(lasting, arguments.inventory)


def _with_inventories(configuration: Configuration, named: Sequence[str]) -> Configuration:
    paths = [Path(name).absolute() for name in named]
    for path in paths:
        if not path.exists():
            raise SettingsError(f"inventory {path} does not exist")
    inventories = (*configuration.options.inventories, *map(str, paths))
    options = msgspec.structs.replace(configuration.options, inventories=inventories)
    return replace(configuration, options=options)


def carry_out(arguments: argparse.Namespace, actions: Sequence[Action]) -> int:
    """Carry actions out as the options say, by the rules of action scripts.

    Args:
        arguments: of the command line.
        actions: of a transfer script.

    Returns:
        The exit status: 0 for success, 1 for failure.

    Raises:
        TmAnsibleError: an action or the configuration is wrong; nothing was done.
    """
    with configuration_of(arguments) as configuration:
        _sweep(configuration.environment)
        job = job_for(arguments.vm, actions, configuration, marker=new_marker())
        options = msgspec.structs.replace(job.options, check=arguments.check)
        title = f"{job.labels[0]} …" if job.actions else "…"
        shown = output(title)
        defaults = dict(job.defaults)
        if shown.progress_seconds:
            defaults["tm_progress_seconds"] = shown.progress_seconds
        return run_job(msgspec.structs.replace(job, options=options, defaults=defaults), shown)


def new_marker() -> str:
    """Give the marker of a run: it tells which process at a prompt the run belongs to."""
    return f"{_PREFIX}.{os.getpid()}.{uuid.uuid4().hex[:12]}"


def _sweep(environment: Mapping[str, str]) -> None:
    """Remove what runs have left whose process at a prompt was killed."""
    for path in directories(_PREFIX, environment):
        pid = path.name.removeprefix(directory_prefix(_PREFIX)).partition(".")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            end_orphans(f"{_PREFIX}.{pid}", environment)


def run_job(job: Job, shown: PlainOutput) -> int:
    """Run a job to its end; a signal to end ends it in order.

    Returns:
        The exit status: 0 for success, 1 for failure.
    """
    try:
        run = ProcessEngine().start(job, shown.show)
    except EngineError as error:
        shown.end(Outcome(reason=str(error)))
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: run.cancel())
    outcome = run.wait()
    shown.end(outcome)
    return 0 if outcome.reason is None else 1


def by_the_rules(command: Callable[[argparse.Namespace], int]) -> Callable[..., int]:
    """Let a command's own errors follow the rules of action scripts, too.

    Its caller may be a transfer driver, which looks for nothing but the error block.
    """

    def run(arguments: argparse.Namespace) -> int:
        try:
            return command(arguments)
        except (TmAnsibleError, OSError) as error:
            PlainOutput().end(Outcome(reason=str(error)))
            return 2

    return run
