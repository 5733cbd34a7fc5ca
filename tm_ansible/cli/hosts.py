"""What ``tm-ansible check`` looks at on the hosts."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from tm_ansible.actions import job_for
from tm_ansible.cli.findings import Finding, Level, bad, doubtful, good
from tm_ansible.cli.parsing import host_names
from tm_ansible.cli.session import new_marker
from tm_ansible.configuration import Configuration
from tm_ansible.engine.causes import plain_cause
from tm_ansible.engine.job import Job, PlaybookRun
from tm_ansible.engine.process import ProcessEngine
from tm_ansible.errors import EngineError

# Of ansible-core's releases 2.16; 2.17; and 2.18 and 2.19.
_OLDEST_PYTHON = (3, 6)
_PYTHON_REMEDY = (
    "install Python 3.8 or newer there (3.7 will do for ansible-core 2.17, 3.6 for 2.16), "
    "or set ansible_python_interpreter in the inventory"
)
_LITTLE_MIB = 1024


class Directory(msgspec.Struct, frozen=True):
    """A directory as module one.tm.probe reports it; sizes in MiB."""

    path: str
    exists: bool
    within: str
    writable: bool
    free_mib: int


class Probed(msgspec.Struct, frozen=True):
    """The result of module one.tm.probe, or of its failure."""

    python: str = ""
    user: str = ""
    programs: dict[str, str | None] = {}
    directories: tuple[Directory, ...] = ()
    unreachable: bool = False
    failed: bool = False
    msg: str = ""
    module_stderr: str = ""


def check(configuration: Configuration) -> Iterator[Finding]:
    """Look at the inventories and at every host in them."""
    inventories = configuration.options.inventories
    if not inventories:
        yield doubtful(
            "inventory",
            "none: hosts are reached by their names, with ssh's own configuration",
            "name one in settings.yml (inventory:) to have the hosts looked at here",
        )
        return
    try:
        names = host_names(configuration)
    except EngineError as error:
        yield bad("inventory", str(error), "correct the inventory that settings.yml names")
        return
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    yield good("inventory", f"{len(names)} hosts: {shown}" if names else "no hosts")
    if names:
        yield from _check_hosts(configuration)


def _check_hosts(configuration: Configuration) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="tm-ansible.") as directory:
        report = Path(directory, "report.json")
        run = ProcessEngine().start(_job(configuration, report), lambda _line: None)
        outcome = run.wait()
        if outcome.reason is not None or not report.exists():
            yield bad("hosts", str(outcome.reason), "see the message")
            return
        found = msgspec.json.decode(report.read_bytes(), type=dict[str, Probed])
    needed = not _is_local(configuration)
    for host, probed in found.items():
        for finding in _judge(host, probed):
            yield finding if needed else _as_advice(finding)


def _job(configuration: Configuration, report: Path) -> Job:
    job = job_for(-1, [], configuration, marker=new_marker())
    playbook = str(configuration.content.root / "playbooks" / "check.yml")
    probe = PlaybookRun(labels=("check",), playbook=playbook, variables={"tm_report": str(report)})
    return msgspec.structs.replace(job, actions=(probe,))


def _is_local(configuration: Configuration) -> bool:
    """Tell whether every action runs on the front-end."""
    local = {configuration.content.root / "playbooks" / model for model in ("nfs", "dummy")}
    return all(Path(program.path).parent in local for program in configuration.programs.values())


def _as_advice(finding: Finding) -> Finding:
    if finding.remedy:
        text = f"{finding.text} (this storage model does not use it)"
        return good(finding.subject, text)
    return finding


def _judge(host: str, probed: Probed) -> Iterator[Finding]:
    if probed.unreachable:
        yield bad(
            host,
            f"cannot be reached: {plain_cause([probed.msg])}",
            f"make `ssh {host}` work for this user without a question, or correct the inventory",
        )
        return
    if probed.failed or not probed.python:
        cause = plain_cause([probed.module_stderr or probed.msg or "no answer"])
        yield bad(host, f"modules do not run: {cause}", _PYTHON_REMEDY)
        return
    yield _judge_python(host, probed)
    yield from _judge_programs(host, probed.programs)
    yield from judge_directories(host, probed.directories)


def _judge_python(host: str, probed: Probed) -> Finding:
    version = tuple(int(part) for part in probed.python.split(".")[:2])
    text = f"reached as {probed.user}, Python {probed.python}"
    if version < _OLDEST_PYTHON:
        return bad(host, text, _PYTHON_REMEDY)
    return good(host, text)


def _judge_programs(host: str, programs: Mapping[str, Any]) -> Iterator[Finding]:
    if not programs.get("mkswap"):
        yield bad(host, "has no mkswap: MKSWAP fails", "install util-linux there")
    for name, package, lost in (
        ("mke2fs", "e2fsprogs", "MKIMAGE cannot make file systems there"),
        ("qemu-img", "qemu-utils", "qcow2 images are neither made nor accepted there"),
    ):
        if not programs.get(name):
            text = f"has no {name}: {lost}"
            yield doubtful(host, text, f"install {package} there if you need it")


def judge_directories(subject: str, directories: Iterable[Directory]) -> Iterator[Finding]:
    """Tell in which of the allowed directories VMs' files can be; one may be all that is needed."""
    findings = [_judge_directory(subject, directory) for directory in directories]
    is_usable = any(finding.level is not Level.FAIL for finding in findings)
    for finding in findings:
        is_missed = finding.level is Level.FAIL and not is_usable
        yield finding if is_missed or not finding.remedy else replace(finding, level=Level.WARN)


def _judge_directory(subject: str, directory: Directory) -> Finding:
    path, free = directory.path, f"{directory.free_mib / 1024:.1f} GiB free"
    if not directory.writable:
        text = f"{directory.within} is not writable"
        return bad(subject, text, f"let the user of the transfers write to {path}")
    if directory.free_mib < _LITTLE_MIB:
        return doubtful(subject, f"{path}: only {free}", "make room there")
    there = "" if directory.exists else f", will be made in {directory.within}"
    return good(subject, f"{path}: {free}{there}")
