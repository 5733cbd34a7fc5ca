"""A site with hosts, a script for each action, and the invariants that hold after every fault.

The invariants have the numbers of ``docs/reliability.md``.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support import images
from tests.support.faulty import programs, wait_gone
from tests.support.hosts import SshHost
from tests.support.oned import Oned, Reply
from tests.support.processes import wait_until
from tests.support.site import Site
from tm_ansible.engine import marked

VERBS = ("CLONE", "LN", "MKSWAP", "MKIMAGE", "MV", "DELETE")
# Seconds until nothing of ours may be left, here or on a host.
GONE_SECONDS = 5.0
_KNOWN = re.compile(r"/(transfer\.\d+|images|disk\.\d+|\.tm-[^/]*(/.*)?)$")
SECRET = f"s3cr3t-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Task:
    """A script for one VM.

    Attributes:
        vm_id: the VM.
        script: what oned asks for.
        label: how the reason of a failure begins; of several actions, the ways it may.
        made: what is there once it is done, by place and path, as ``images.digest`` has it; None
            for what is made anew, with other bytes each time.
        kept: for each path of ``made`` where its bytes were before, if they are moved.
    """

    vm_id: int
    script: str
    label: str | tuple[str, ...]
    made: Mapping[tuple[str, Path], str | None]
    gone: tuple[tuple[str, Path], ...] = ()


@dataclass(slots=True)
class Ground:
    """A site, its hosts, and what was there before.

    Attributes:
        site: of one model.
        nodes: its hosts.
        control_path_dir: where ssh's sockets are.
        warm: whether runs start warm.
        size: bytes of the image.
    """

    site: Site
    nodes: dict[str, SshHost]
    control_path_dir: Path
    warm: bool
    size: int = 2 * images.MIB
    host: str = "node1"
    _outside: dict[Path, object] = field(default_factory=dict)

    @property
    def image(self) -> Path:
        """The image of the repository, on the front-end."""
        return self.site.images / "base.img"

    @contextmanager
    def driver(self, *prefix: str, waits: bool = True, **environment: str) -> Iterator[Oned]:
        """Start the driver with a secret in its environment.

        Args:
            prefix: as for ``Site.start``.
            waits: until runs start warm, if they are to.
            environment: added to what oned has.
        """
        self._prepare()
        with self.site.start(*prefix, TM_TEST_SECRET=SECRET, **environment) as oned:
            if self.warm and waits:
                oned.wait_warm()
            yield oned
        assert not [line for line in oned.lines if SECRET in line], "I9"

    def _prepare(self) -> None:
        """Make the image, and things that nobody may touch."""
        if self._outside:
            return
        with self.image.open("wb") as file:
            while file.tell() < self.size:
                file.write(images.BLOCK[: self.size - file.tell()])
        for place in ("localhost", *self.nodes):
            other = self.at(place, self.site.vm_dir(999) / "images")
            other.mkdir(parents=True, exist_ok=True)
            images.one_byte(other / "disk.0")
        self._outside = self._look_outside()

    def _look_outside(self) -> dict[Path, object]:
        places = [self.at(place, self.site.vm_dir(999)) for place in ("localhost", *self.nodes)]
        return {path: images.fingerprint(path) for path in (self.site.images, *places)}

    def at(self, place: str, path: Path) -> Path:
        """Find a path of a host, or of the front-end, from outside."""
        shared = self.site.model == "nfs" or place not in self.nodes
        return path if shared else self.nodes[place].path(path)

    def disk(self, vm_id: int, number: int = 0) -> Path:
        """Name a disk of a VM."""
        return self.site.vm_dir(vm_id) / "images" / f"disk.{number}"

    def task(self, verb: str, vm_id: int, host: str = "") -> Task:
        """Make what an action needs, and give a script of that action alone."""
        host = host or self.host
        disk, saved = self.disk(vm_id), self.site.vm_dir(vm_id) / "disk.0"
        name = "fe" if host == "localhost" else host
        target, label = f"{name}:{disk}", f"{verb} {name}: "
        source, digest = f"fe:{self.image}", images.digest(self.image)
        if verb in ("MV", "DELETE"):
            self.at(host, disk).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.image, self.at(host, disk))
        saved_label = "MV fe: " if self.site.model != "nfs" else label
        return {
            "CLONE": Task(vm_id, f"CLONE {source} {target}\n", label, {(host, disk): digest}),
            "LN": Task(vm_id, f"LN {source} {target}\n", label, {(host, disk): digest}),
            "MKSWAP": Task(vm_id, f"MKSWAP 1 {target}\n", label, {(host, disk): None}),
            "MKIMAGE": Task(vm_id, f"MKIMAGE 4 ext3 {target}\n", label, {(host, disk): None}),
            "MV": Task(
                vm_id,
                f"MV {target} fe:{saved}\n",
                saved_label,
                {("localhost", saved): digest},
                ((host, disk),),
            ),
            "DELETE": Task(
                vm_id, f"DELETE {name}:{disk.parent}\n", label, {}, ((host, disk.parent),)
            ),
        }[verb]

    def tasks(self, verb: str, vm_id: int) -> Task:
        """Make what an action needs, and give a script of that behind a MKSWAP of another disk."""
        task, name = self.task(verb, vm_id), "fe" if self.host == "localhost" else self.host
        script = f"MKSWAP 1 {name}:{self.disk(vm_id, 1)}\n{task.script}"
        labels = (
            f"MKSWAP {name}: ",
            *([task.label] if isinstance(task.label, str) else task.label),
        )
        return replace(task, script=script, label=labels)

    def check(self, oned: Oned, task: Task, reply: Reply | None, reason: str = "") -> None:
        """Check all invariants after a fault.

        Args:
            oned: whose driver lives.
            task: what was harmed.
            reply: its answer; None if none is due.
            reason: how that begins, if not with the action's name.
        """
        self.check_gone(oned)
        assert len(oned.replies(task.vm_id)) == (reply is not None), "I1"
        self.check_files(task, done=reply is not None and reply.ok)
        oned.check_lines()  # I6
        if reply and not reply.ok:
            assert reply.reason.startswith(reason or task.label), reply.reason
        self.check_repeat(oned, task)

    def check_gone(self, oned: Oned) -> None:
        """Check that nothing of any run is left, here or there."""
        assert wait_gone(lambda: self.processes(oned.location), GONE_SECONDS), "I5"
        wait_until(lambda: not list(self.directories(oned)), GONE_SECONDS)

    def directories(self, oned: Oned) -> Iterator[Path]:
        """Give temporary directories of runs."""
        for token in tokens(oned.location):
            for path in Path("/tmp").glob(f"tm_ansible.{token}.*"):
                if not path.name.startswith(f"tm_ansible.{token}.warm"):
                    yield path

    def processes(self, location: Path) -> list[int]:
        """Give what runs of a driver's runs, here and on the hosts."""
        here = [pid for token in tokens(location) for pid in marked.find(f"{token}.")]
        there = [pid for host in self.nodes.values() for pid in host.descendants()]
        return [*filter(_is_of_a_run, here), *programs(there)]

    def check_files(self, task: Task, *, done: bool) -> None:
        """Check that what has a final name is whole, and that nothing outside has changed."""
        for (place, path), digest in task.made.items():
            found = self.at(place, path)
            if os.path.lexists(found):
                assert digest in (None, images.digest(found)), "I2"
            else:
                assert not done, "I3"
        for place, path in task.gone:
            found = self.at(place, path)
            if done:
                assert not os.path.lexists(found), "I3"
            elif task.made and not any(self.at(*key).exists() for key in task.made):
                assert images.digest(found) in task.made.values(), "I2: the source is not whole"
        assert self._look_outside() == self._outside, "I4"
        for place in ("localhost", *self.nodes):
            for found in self.at(place, self.site.vm_dir(task.vm_id)).rglob("*"):
                assert _KNOWN.search(str(found)), f"I2: {found}"

    def check_repeat(self, oned: Oned, task: Task) -> None:
        """Check that the same script succeeds now, and leaves nothing but what it is to leave."""
        done = oned.transfer(task.vm_id, task.script)
        assert done.ok, f"I7: {done.reason}"
        self.check_files(task, done=True)
        wait_until(lambda: not self.left_over(task), GONE_SECONDS)

    def left_over(self, task: Task) -> list[Path]:
        """Give what has a temporary name of ours in a VM's directories."""
        places = [self.at(place, self.site.vm_dir(task.vm_id)) for place in self.nodes]
        return images.left_over(*places, self.site.vm_dir(task.vm_id))


def tokens(location: Path) -> list[str]:
    """Give the tokens of the drivers of a site that have a journal."""
    return [path.name[1:-8] for path in (location / "var").glob(".*.journal")]


def _is_of_a_run(pid: int) -> bool:
    """Tell whether a process with a marker is not the server of warm workers."""
    try:
        return b".warm." not in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
