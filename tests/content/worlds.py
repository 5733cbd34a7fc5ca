"""What the tests of the content share: a small cloud on this machine, and looking at it."""

import dataclasses
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
# For tests of what is done where it may be done.
ANYWHERE = [tempfile.gettempdir(), "/dev/shm"]

# Five hundred directories of this name in each other have no path that the system takes.
DEEP = "directory"


class _Data(str):
    """A string that is written as ``!unsafe``: data, as the driver hands it over."""


class Dumper(yaml.SafeDumper):
    """Writes variables for ``-e @file``."""


Dumper.add_representer(_Data, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))


def data(value: Any) -> Any:
    """Return a variable's value with every string marked."""
    if isinstance(value, str):
        # PyYAML takes these for tags when Ansible asks it.
        return value if value in ("!", "&", "*") else _Data(value)
    return [data(item) for item in value] if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True, slots=True)
class Played:
    """How a playbook ended.

    Attributes:
        status: exit code of ansible-playbook.
        output: everything it wrote.
    """

    status: int
    output: str

    @property
    def changed(self) -> int:
        """The number of tasks that changed something, on all hosts."""
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))

    def succeeded(self) -> "Played":
        """Return itself; fail with the output if it did not succeed."""
        assert self.status == 0, self.output
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class Cloud:
    """A repository and two VM directories on this machine.

    Attributes:
        root: above everything.
        repository: where images are.
        var: the front-end's directory.
        vms: the hosts' VM directory.
        inventory: file with the hosts node1 and node2, both this machine.
    """

    root: Path
    repository: Path
    var: Path
    vms: Path
    inventory: Path

    def facts(self, **more: Any) -> dict[str, Any]:
        """Return the variables that a site would set, and more."""
        allowed = [str(self.var), str(self.vms)]
        return {"tm_front_ends": ["fe"], "tm_allowed_dirs": allowed, **more}


def names(directory: Path) -> list[str]:
    """Return what is in a directory, sorted; names of ours that were left too."""
    return sorted(path.name for path in directory.iterdir())


def tree(directory: Path) -> list[str]:
    """Return everything below a directory, sorted; names of ours that were left too."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def make_deep(top: Path, levels: int) -> None:
    """Make directories within each other, with a file in the last and beside each hundredth."""
    top.mkdir(parents=True, exist_ok=True)
    here = os.open(top, os.O_RDONLY)
    for level in range(levels):
        if level % 100 == 0:
            os.close(os.open("beside", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir(DEEP, dir_fd=here)
        deeper = os.open(DEEP, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("last", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
