"""A front-end, hosts, and one copy between them that a test may harm."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import filesystems, images
from tests.support.faulty import Run
from tests.support.hosts import SshHost

MEBIBYTES = 160
# MiB a second of a copy that is to be harmed: it takes two seconds however fast the machine is.
SLOW_MIB = 80


@dataclass(frozen=True, slots=True)
class Action:
    """What is copied.

    Attributes:
        verb: CLONE or MV.
        hosts: from where to where.
        source: path there.
        destination: path there.
        whole: fingerprint of what is to arrive.
    """

    verb: str
    hosts: tuple[str, str]
    source: Path
    destination: Path
    whole: dict[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """Where copies are made.

    Attributes:
        cloud: ``$ONE_LOCATION`` on the front-end and every host.
        nodes: the hosts.
        words: of ``tm-ansible run`` behind the action.
        originals: for each verb what it brings, to be linked from.
        control_path_dir: where ssh's sockets are.
        front_end: a namespace that has mounts, or None.
    """

    cloud: Path
    nodes: dict[str, SshHost]
    words: tuple[str, ...]
    originals: dict[str, Path]
    control_path_dir: Path
    front_end: filesystems.FrontEnd | None = None

    def outside(self, host: str, path: Path) -> Path:
        """Find a path of a host that is below no mount."""
        return self.nodes[host].path(path) if host in self.nodes else path

    def seen(self, host: str, path: Path) -> Path:
        """Find a path of a host as the test can open it, below mounts too."""
        if host in self.nodes:
            return filesystems.seen(self.nodes[host], path)
        return filesystems.seen(self.front_end, path) if self.front_end else path

    def action(self, verb: str, hosts: tuple[str, str]) -> Action:
        """Make a source and give the action that is to bring it."""
        source, destination = (self.cloud / "var" / name / "disk.0" for name in ("from", "to"))
        original, place = self.originals[verb], self.outside(hosts[0], source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if original.is_dir():
            shutil.copytree(original, place, symlinks=True, copy_function=os.link)
            images.age(place)
        else:
            os.link(original, place)
        return Action(verb, hosts, source, destination, images.fingerprint(original))

    def run(self, action: Action, output: Path, is_slow: bool = False) -> Run:
        """Start an action.

        Args:
            action: what is to be done.
            output: file that gets what it says.
            is_slow: whether it takes some seconds, for one that is to be harmed meanwhile.
        """
        places = (f"{action.hosts[0]}:{action.source}", f"{action.hosts[1]}:{action.destination}")
        prefix = self.front_end.command() if self.front_end else ()
        words = [action.verb, *places, *self.words]
        if is_slow:
            inventory = output.with_name("slow.yml")
            limit = "tm_front_end_bandwidth_mib" if self.front_end else "tm_bandwidth_mib"
            inventory.write_text(f"all: {{vars: {{{limit}: {SLOW_MIB}}}}}\n")
            words += ["-i", str(inventory)]
        return Run(words, self.cloud, output, prefix)

    def left_over(self, action: Action) -> list[Path]:
        """Give what has a temporary name of ours on the hosts of an action."""
        return images.left_over(*(self.seen(host, self.cloud / "var") for host in action.hosts))


def make_originals(top: Path) -> dict[str, Path]:
    """Make an image and a VM's directory; give them by the verb that brings them."""
    image, directory = top / "base.img", top / "images"
    images.dense(image, MEBIBYTES)
    directory.mkdir()
    images.dense(directory / "disk.0", MEBIBYTES * 3 // 4)
    images.dense(directory / "disk.1", MEBIBYTES // 4)
    images.sparse(directory / "disk.2")
    (directory / "disk.3").symlink_to("disk.0")
    for path in (image, directory):
        images.age(path)
    return {"CLONE": image, "MV": directory}
