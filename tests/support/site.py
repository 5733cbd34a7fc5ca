"""An OpenNebula site for tests: installed as a person would, with a front-end called ``fe``."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.oned import ROOT, Oned
from tm_ansible.cli.install import install
from tm_ansible.locations import locate

FIXTURES = ROOT / "tests" / "fixtures" / "oned-1.2"


@dataclass(frozen=True, slots=True)
class Site:
    """An installation of OpenNebula with one of our drivers.

    Attributes:
        base: the directory that oned's own scripts call ``/srv/cloud``.
        model: the storage model: ``nfs``, ``ssh``, ``shared`` or ``dummy``.
    """

    base: Path
    model: str

    @property
    def location(self) -> Path:
        """``$ONE_LOCATION``."""
        return self.base / "one"

    @property
    def etc(self) -> Path:
        """Where the driver's map and settings are."""
        return self.location / "etc" / f"tm_ansible_{self.model}"

    @property
    def images(self) -> Path:
        """The image repository."""
        return self.base / "images"

    def install(self, settings: str = "", inventories: Iterable[Path] = ()) -> "Site":
        """Install as ``tm-ansible install`` does, and write ``settings.yml``.

        Args:
            settings: YAML behind what every site here has.
            inventories: their paths.
        """
        self.images.mkdir(parents=True, exist_ok=True)
        install(locate({"ONE_LOCATION": str(self.location)}))
        listed = ", ".join(str(path) for path in inventories)
        text = f"front_ends: [fe]\ninventory: [{listed}]\n{settings}"
        (self.etc / "settings.yml").write_text(text)
        return self

    def start(self, *prefix: str, **environment: str) -> Oned:
        """Start the installed driver as oned does.

        Args:
            prefix: a command that becomes another, such as prlimit(1), and its options.
            environment: added to what oned has.
        """
        name = f"tm_ansible_{self.model}"
        command = [*prefix, str(self.location / "lib" / "mads" / "one_tm_ansible")]
        return Oned(self.location, f"{name}/{name}.conf", command=command, environment=environment)

    def set_program(self, verb: str, name: str, text: str) -> None:
        """Have an action carried out by a playbook or a script of the site.

        Args:
            verb: the action.
            name: of the file, beside the map.
            text: what it says.
        """
        (self.etc / name).write_text(text)
        (self.etc / name).chmod(0o755)
        map_ = self.etc / f"tm_ansible_{self.model}.conf"
        map_.write_text(re.sub(rf"(?m)^{verb}\b.*", f"{verb} = {name}", map_.read_text()))

    def script(self, phase: str) -> str:
        """Give a script that a real oned wrote for this model, for this site's directories."""
        kind = "nfs" if self.model == "nfs" else "ssh"
        return (FIXTURES / kind / phase).read_text().replace("/srv/cloud", str(self.base))

    def vm_dir(self, vm_id: int) -> Path:
        """The VM's directory, on the front-end or on a host."""
        return self.location / "var" / str(vm_id)


def tm_ansible(
    *arguments: str, check: bool = False, cwd: Path = ROOT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the ``tm-ansible`` command of this checkout or of the installation under test."""
    installed = Path(sys.executable).parent / "tm-ansible"
    command = [str(installed)] if installed.exists() else [sys.executable, "-m", "tm_ansible.cli"]
    return subprocess.run(
        [*command, *arguments],
        check=check,
        capture_output=True,
        text=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
