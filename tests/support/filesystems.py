"""XFS, btrfs and ext4 for tests: each a sparse file, mounted by loop in a private namespace.

Whatever ends the namespace's only process, an interrupted test too, takes the mounts and the loop
devices with it.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

KINDS = ("xfs", "btrfs", "ext4")
MAKERS = {
    "xfs": ("mkfs.xfs", "-q", "-f", "-m", "reflink=1"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
}
# mkfs.xfs makes nothing smaller than 300 MiB.
MEBIBYTES = 320


class Place(Protocol):
    """A machine with mounts of its own, such as ``SshHost`` or ``FrontEnd``."""

    @property
    def pid(self) -> int:
        """Process id of one that has its view of the files."""

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command with its view of the files."""


class FrontEnd:
    """This machine with a mount namespace of its own.

    Attributes:
        pid: of the process that holds the namespace.
    """

    def __init__(self) -> None:
        """Start it."""
        command = ["unshare", "-m", "--propagation", "private", "--"]
        hold = ["sh", "-c", "echo; exec sleep infinity"]
        die_with_us = ["setpriv", "--pdeathsig", "KILL"]
        self._process = subprocess.Popen(
            [*die_with_us, *command, *hold], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self._process.stdout
        self._process.stdout.readline()
        self.pid = self._process.pid

    def command(self, *words: str) -> list[str]:
        """Give a command that runs with this view of the files."""
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", *words]

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command with this view of the files.

        Raises:
            CalledProcessError: it failed.
        """
        return subprocess.run(self.command(*command), check=True, capture_output=True, text=True)

    def stop(self) -> None:
        """End it, and its mounts."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


@contextmanager
def front_end() -> Iterator[FrontEnd]:
    """Give a mount namespace that ends with the block."""
    place = FrontEnd()
    try:
        yield place
    finally:
        place.stop()


def seen(place: Place, path: str | Path) -> Path:
    """Find a path of a place as this process can open it, mounts included.

    Args:
        place: whose view is meant.
        path: absolute.
    """
    return Path(f"/proc/{place.pid}/root{path}")


def mount(
    place: Place, kind: str, image: Path, mount_point: Path, mebibytes: int = MEBIBYTES
) -> None:
    """Make a file system in a new file and mount it in a place.

    Args:
        place: whose namespace gets the mount.
        kind: one of ``KINDS``.
        image: the file to make.
        mount_point: made if missing.
        mebibytes: the size.
    """
    with image.open("xb") as file:
        file.truncate(mebibytes << 20)
    subprocess.run([*MAKERS[kind], str(image)], check=True, capture_output=True)
    place.run("mkdir", "-p", "--", str(mount_point))
    place.run("mount", "-o", "loop", "-t", kind, "--", str(image), str(mount_point))


@functools.cache
def missing_for_file_systems(kinds: tuple[str, ...] = KINDS) -> str | None:
    """Tell why file systems cannot be mounted here.

    Args:
        kinds: those that are needed.

    Returns:
        The reason, for a skipped test, or None if they can.
    """
    if os.geteuid() != 0:
        return "mounting file systems needs root"
    needed = ["unshare", "nsenter", "setpriv", "mount", *(MAKERS[kind][0] for kind in kinds)]
    for program in needed:
        if not (shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")):
            return f"mounting file systems needs the program {program}"
    with tempfile.TemporaryDirectory(prefix="tmfs") as directory:
        return next(filter(None, (_refusal(kind, Path(directory)) for kind in kinds)), None)


def _refusal(kind: str, directory: Path) -> str | None:
    """Tell why a file system cannot be mounted, by trying it."""
    try:
        with front_end() as place:
            mount(place, kind, directory / f"{kind}.img", directory / kind)
    except subprocess.CalledProcessError as error:
        return f"{kind} cannot be mounted here: {str(error.stderr).strip() or error}"
    return None
