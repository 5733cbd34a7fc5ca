"""What ``tm-ansible check`` looks at on this machine."""

import os
import platform
import resource
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tm_ansible.cli.findings import Finding, bad, doubtful, good
from tm_ansible.cli.hosts import Directory, judge_directories
from tm_ansible.cli.install import driver_command
from tm_ansible.cli.parsing import complaint_about
from tm_ansible.configuration import Configuration
from tm_ansible.locations import doubt_of_vm_dir
from tm_ansible.script import Verb
from tm_ansible.versions import ansible_core_version

# oned 1.2 waits half a second for the answer to INIT; ours should leave it room.
_INIT_SECONDS = 0.5
_INIT_ROOM_SECONDS = 0.2
_SUBJECT = "front-end"


def check(configuration: Configuration) -> Iterator[Finding]:
    """Look at the configuration and at this machine."""
    yield from _check_map(configuration)
    yield from _check_settings(configuration)
    yield from _check_programs(configuration)
    yield from _check_playbooks(configuration)
    yield from _check_directories(configuration)
    yield _check_init(configuration)


def _check_map(configuration: Configuration) -> Iterator[Finding]:
    missing = [verb.value for verb in Verb if verb not in configuration.programs]
    if missing:
        text = f"names no program for {', '.join(missing)}: such actions fail"
        yield doubtful("map", text, f"add a line for each to {configuration.map_path}")
    rc = configuration.directory / f"{configuration.name}rc"
    if rc.exists():
        yield good("rc", str(rc))
    else:
        yield good("rc", f"none; {rc} would be read")


def _check_settings(configuration: Configuration) -> Iterator[Finding]:
    path = configuration.directory / "settings.yml"
    yield good("settings", str(path) if path.exists() else f"none; {path} would be read")
    if not configuration.settings.allowed_dirs and (
        doubt := doubt_of_vm_dir(configuration.locations)
    ):
        yield doubtful("settings", doubt, f"correct oned.conf, or set allowed_dirs in {path}")
    if not configuration.settings.source_dirs:
        yield doubtful(
            "settings",
            "images may come from nearly anywhere: a VM template can name most files here",
            f"set source_dirs in {path} to the directories of your images",
        )
    if not configuration.options.host_key_checking:
        yield doubtful(
            "settings",
            "host keys are not checked: any machine can pass for a host",
            f"set ansible.host_key_checking to true in {path}, and fill known_hosts",
        )


def _check_programs(configuration: Configuration) -> Iterator[Finding]:
    path = configuration.environment.get("PATH")
    release = f"ansible-core {ansible_core_version()}, Python {platform.python_version()}"
    yield good(_SUBJECT, release)
    for name, remedy in (
        ("ansible-playbook", "install ansible-core beside tm_ansible"),
        ("ssh", "install openssh-client"),
        ("mkswap", "install util-linux"),
    ):
        found = shutil.which(name, path=path)
        text = found or f"there is no {name}"
        yield good(_SUBJECT, text) if found else bad(_SUBJECT, text, remedy)
    for name, package, use in (
        ("mke2fs", "e2fsprogs", "some forms of MKIMAGE need"),
        ("qemu-img", "qemu-utils", "qcow2 images need"),
    ):
        if found := shutil.which(name, path=path):
            yield good(_SUBJECT, found)
        else:
            text = f"there is no {name}, which {use}"
            yield doubtful(_SUBJECT, text, f"install {package} if you have such images")


def _check_playbooks(configuration: Configuration) -> Iterator[Finding]:
    """Let Ansible parse the site's own playbooks; ours are tested."""
    programs = configuration.programs.values()
    paths = {program.path for program in programs if program.kind == "playbook"}
    own = sorted(path for path in paths if not path.startswith(f"{configuration.content.root}/"))
    yield good("playbooks", f"{len(paths)} found, {len(own)} of this site")
    for path in own:
        if complaint := complaint_about(configuration, path):
            yield bad("playbooks", f"{path}: {complaint}", "correct it")


def _check_directories(configuration: Configuration) -> Iterator[Finding]:
    var = configuration.locations.var
    usable = False
    if not var.is_dir():
        yield bad(_SUBJECT, f"{var} does not exist", "set ONE_LOCATION, or make the directory")
    elif not os.access(var, os.W_OK | os.X_OK):
        yield bad(_SUBJECT, f"{var} is not writable", "run the check as oned's user, or chown it")
    else:
        usable = True
    allowed = configuration.defaults["tm_allowed_dirs"]
    names = allowed if isinstance(allowed, list) else []
    paths = [Path(str(name)) for name in names if usable or name != str(var)]
    yield from judge_directories(_SUBJECT, map(_look_at, paths))


def _look_at(path: Path) -> Directory:
    within = next(place for place in (path, *path.parents) if place.is_dir())
    free_bytes = shutil.disk_usage(within).free
    writable = os.access(within, os.W_OK | os.X_OK)
    return Directory(str(path), within == path, str(within), writable, free_bytes >> 20)


@dataclass(frozen=True, slots=True, order=True)
class _Start:
    """How a driver started: until its answer, and processor time in all, in seconds."""

    seconds: float
    busy_seconds: float
    answer: str


def _check_init(configuration: Configuration) -> Finding:
    """Start the driver as oned does and see how long its first answer takes."""
    with tempfile.TemporaryDirectory(prefix="tm-ansible.") as directory:
        stage = _stage(configuration, Path(directory))
        start = min(_time_init(configuration, stage) for _ in range(2))
    text = f"the driver answers INIT in {start.seconds:.2f} s"
    if start.answer != "INIT SUCCESS":
        found = f"the driver answers INIT with: {start.answer or 'nothing'}"
        return bad("driver", found, "see its answer")
    if start.busy_seconds > _INIT_SECONDS:
        remedy = "oned 1.2 waits 0.5 s: use a faster machine or a newer oned, which waits 10 s"
        return bad("driver", f"{text}, {start.busy_seconds:.2f} s of them computing", remedy)
    if start.seconds > _INIT_ROOM_SECONDS:
        remedy = "oned 1.2 waits 0.5 s: see that this machine is not busy and the disk is local"
        return doubtful("driver", text, remedy)
    return good("driver", text)


def _stage(configuration: Configuration, directory: Path) -> Path:
    """Make a stage with a var of its own: a dead driver's journal is not to be answered here."""
    (directory / "var").mkdir()
    (directory / "etc").symlink_to(configuration.locations.etc)
    (directory / "lib").symlink_to(configuration.locations.lib)
    return directory


def _time_init(configuration: Configuration, stage: Path) -> _Start:
    before, busy_before = time.monotonic(), _children_seconds()
    with subprocess.Popen(
        [*driver_command(), shlex.quote(str(configuration.map_path))],
        cwd=stage / "var",
        env={**os.environ, "ONE_LOCATION": str(stage)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as driver:
        answer = _ask_init(driver)
        seconds = time.monotonic() - before
        driver.communicate()
    return _Start(seconds, _children_seconds() - busy_before, answer)


def _ask_init(driver: "subprocess.Popen[str]") -> str:
    assert driver.stdin  # noqa: S101 (it is a pipe)
    assert driver.stdout  # noqa: S101
    driver.stdin.write("INIT\n")
    driver.stdin.flush()
    return next((line.strip() for line in driver.stdout if not line.startswith("LOG")), "")


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
