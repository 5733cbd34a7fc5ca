"""A small cloud for the demonstration: an installation, images, and what oned asks for."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tm_ansible.cli.install import install, oned_conf
from tm_ansible.cli.model import Model
from tm_ansible.locations import locate

_MIB = 1 << 20
_SETTINGS = """---
inventory: [hosts.yml]
front_ends: [fe]
source_dirs: ["{images}"]
"""
_HOSTS = """---
all:
  hosts:
    node1:
      ansible_connection: local
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where things are.

    Attributes:
        model: the storage model.
        directory: everything is below it.
        one: ONE_LOCATION.
        images: the image repository.
        vm_dir: OpenNebula's VM_DIR on the host.
    """

    model: Model
    directory: Path
    one: Path
    images: Path
    vm_dir: Path

    @property
    def var(self) -> Path:
        """OpenNebula's working directory on the front-end."""
        return self.one / "var"


@dataclass(frozen=True, slots=True)
class Phase:
    """One transfer in the life of a VM.

    Attributes:
        before: parts of oned and the states that they announce before it.
        script: the transfer script's file.
        after: the states after it.
        title: of the picture that is shown then; empty for none.
    """

    before: tuple[tuple[str, str], ...]
    script: Path
    after: tuple[tuple[str, str], ...]
    title: str = ""


def prepare(model: Model, directory: Path) -> Site:
    """Make the cloud.

    Args:
        model: which storage model.
        directory: an empty directory.

    Returns:
        Where everything is.
    """
    one = directory / "one"
    vm_dir = one / "var" if model is Model.NFS else directory / "node1" / "vms"
    site = Site(model, directory, one, directory / "images", vm_dir)
    for path in (site.var / "0", site.images, vm_dir):
        path.mkdir(parents=True, exist_ok=True)
    install(locate({"ONE_LOCATION": str(one)}))
    etc = one / "etc"
    (etc / "oned.conf").write_text(f'VM_DIR = "{vm_dir}"\n\n{oned_conf()}', encoding="utf-8")
    settings = _SETTINGS.format(images=site.images)
    (etc / model.directory / "settings.yml").write_text(settings, encoding="utf-8")
    (etc / model.directory / "hosts.yml").write_text(_HOSTS, encoding="utf-8")
    for name, mib in (("base.img", 8), ("data.img", 4), ("keep.img", 2)):
        _make_image(site.images / name, mib)
    return site


def _make_image(path: Path, mib: int) -> None:
    """Make a sparse image with some data at its beginning."""
    with path.open("wb") as image:
        image.write(os.urandom(_MIB))
        image.truncate(mib * _MIB)


def life(site: Site) -> Iterator[Phase]:
    """Write the transfer scripts of a VM's life, each when it is due.

    The lines, blanks and slashes are those that oned 1.2 writes.

    Args:
        site: where things are.

    Yields:
        Each phase, to be carried out before the next is asked for.
    """
    images, kept = f"{site.vm_dir}//0/images", f"{site.var}/0"
    first, second = site.var / "0" / "transfer.0", site.var / "0" / "transfer.1"
    prolog = (("DiM", "ACTIVE."), ("LCM", "PROLOG."))
    running = (("LCM", "BOOT"), ("LCM", "RUNNING"))
    _write(
        first,
        f"CLONE fe:{site.images}/base.img node1:{images}/disk.0",
        f"LN fe:{site.images}/data.img node1:{images}/disk.1",
        f"MKSWAP 16 node1:{images}/disk.2",
        f"CLONE fe:{site.images}/keep.img node1:{images}/disk.3",
    )
    yield Phase(prolog, first, running, "After the prolog")
    _write(first, f"MV node1:{images} fe:{kept}")
    stopping = (("LCM", "SAVE_STOP"), ("LCM", "EPILOG_STOP"))
    yield Phase(stopping, first, (("DiM", "STOPPED"), ("DiM", "PENDING.")))
    _write(second, f"MV fe:{kept}/images node1:{images}")
    yield Phase(prolog, second, running)
    _write(second, f"MV node1:{images}/disk.3 fe:{kept}/disk.3", f"DELETE node1:{images}")
    ending = (("LCM", "SHUTDOWN"), ("LCM", "EPILOG"))
    yield Phase(ending, second, (("DiM", "DONE"),), "At the end, with disk.3 saved")


def _write(path: Path, *lines: str) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
