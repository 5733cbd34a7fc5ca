"""``tm-ansible demo``: the life of one VM on this machine, with nothing configured."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tm_ansible.cli.demo_oned import Oned
from tm_ansible.cli.demo_site import Site, life, prepare
from tm_ansible.cli.model import Model
from tm_ansible.errors import TmAnsibleError

_MODELS = (Model.NFS.value, Model.SSH.value)
_STYLES = {"[I]": "", "[W]": "yellow", "[E]": "bold red"}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="carry one VM through its life on this machine, with nothing configured",
        description="Install the driver into a temporary directory, start it as oned does, and "
        "carry VM 0 through prolog, stop, resume and shutdown, with the VM's log as it happens.",
    )
    parser.add_argument("--model", choices=_MODELS, default="nfs", help="storage model")
    parser.add_argument("--keep", action="store_true", help="leave the directory for a look at it")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the life of a VM.

    Returns:
        0 if every step succeeded, else 1.
    """
    directory = Path(tempfile.mkdtemp(prefix="tm-ansible-demo."))
    model = Model(arguments.model)
    try:
        if not _live(model, directory):
            return 1
        if model is Model.NFS:
            print(f"With nothing shared: {sys.argv[0]} demo --model ssh")
        return 0
    finally:
        if arguments.keep:
            print(f"\nEverything is in {directory}; remove it when you have seen enough.")
        else:
            shutil.rmtree(directory)


def _live(model: Model, directory: Path) -> bool:
    site = prepare(model, directory)
    print(_introduction(site))
    log = VmLog(site.var / "0" / "vm.log")
    try:
        with Oned(site) as oned:
            print(f"INIT answered in {oned.init_seconds:.2f} s; this is the log of VM 0:\n")
            for phase in life(site):
                for part, state in phase.before:
                    log.write(part, "I", f"New VM state is {state}")
                if reason := oned.transfer(phase.script, log.write):
                    log.write("TM", "E", f"Error excuting image transfer script: {reason}")
                    log.write("DiM", "I", "New VM state is FAILED")
                    return False
                for part, state in phase.after:
                    log.write(part, "I", f"New VM state is {state}")
                if phase.title:
                    print(f"\n{phase.title}:\n{tree(site.directory)}\n")
    except TmAnsibleError as error:
        log.write("TM", "E", str(error))
        return False
    return True


def _introduction(site: Site) -> str:
    lines = [
        f"Storage model {site.model.value}, in {site.directory}:",
        f"  ONE_LOCATION    {site.one}",
        f"  images          {site.images}",
        f"  VM_DIR          {site.vm_dir}",
    ]
    if site.model is Model.SSH:
        lines += [
            "Nothing is shared: node1 has a VM directory of its own. For this demonstration it is",
            "this very machine (ansible_connection=local); elsewhere Ansible gets there by ssh.",
        ]
    return "\n".join(lines)


class VmLog:
    """A VM's log as oned writes it, shown at the same time."""

    def __init__(self, path: Path) -> None:
        """Begin the file."""
        from rich.console import Console  # noqa: PLC0415 (only this command needs it)

        self._path = path
        self._console = Console(highlight=False, markup=False)

    def write(self, part: str, severity: str, text: str) -> None:
        """Write a line.

        Args:
            part: of oned that it comes from: TM, LCM, DiM.
            severity: I, W, E or D.
            text: the message.
        """
        line = f"{time.ctime()} [{part}][{severity}]: {text}"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        style = _STYLES.get(f"[{severity}]", "dim") or ("cyan" if part == "TM" else "bold")
        self._console.print(line, style=style, soft_wrap=True)


def tree(directory: Path) -> str:
    """Draw the files below a directory, with their sizes and what they take on disk."""
    return "\n".join([directory.name, *_branches(directory, "")])


def _branches(directory: Path, indent: str) -> Iterator[str]:
    shown = (path for path in directory.iterdir() if path.name not in ("etc", "lib"))
    entries = sorted(path for path in shown if not path.name.startswith("."))
    for entry in entries:
        last = entry == entries[-1]
        yield f"{indent}{'└── ' if last else '├── '}{entry.name}{_describe(entry)}"
        if entry.is_dir() and not entry.is_symlink():
            yield from _branches(entry, indent + ("    " if last else "│   "))


def _describe(entry: Path) -> str:
    if entry.is_symlink():
        return f" -> {entry.readlink()}"
    if entry.is_dir():
        return "/"
    status = entry.stat()
    size, used = status.st_size, status.st_blocks * 512
    if size < 1 << 20:
        return ""
    sparse = f", {used / (1 << 20):.1f} MiB on disk" if used < size else ""
    return f"  {size / (1 << 20):.1f} MiB{sparse}"
