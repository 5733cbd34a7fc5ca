"""Images for tests of copies, one maker a kind, and what a copy has to have of its source."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 1 << 20
BLOCK = os.urandom(MIB)
LONG_AGO = 1_000_000_000

Maker = Callable[[Path], None]


def dense(path: Path, mebibytes: int = 3) -> None:
    """Write random data, a bit more than some MiB, without a block of zeros."""
    with path.open("wb") as file:
        for _ in range(mebibytes):
            file.write(BLOCK)
        file.write(b"end")


def sparse(path: Path) -> None:
    """Write 64 MiB with 2 MiB of data that begin at odd places, and a hole at the end."""
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        for offset in (9 * MIB + 70_001, 31 * MIB + 5):
            file.seek(offset)
            file.write(BLOCK)


def zeros(path: Path) -> None:
    """Write 8 MiB of zeros that take room."""
    path.write_bytes(bytes(8 * MIB))


def empty(path: Path) -> None:
    """Write nothing."""
    path.touch()


def one_byte(path: Path) -> None:
    """Write one byte."""
    path.write_bytes(b"x")


IMAGES: dict[str, Maker] = {
    "dense": dense,
    "sparse": sparse,
    "zeros": zeros,
    "empty": empty,
    "one-byte": one_byte,
}


def directory(path: Path) -> None:
    """Make a VM's directory: an image of each kind, links, another directory, small files."""
    path.mkdir()
    for number, write in enumerate(IMAGES.values()):
        write(path / f"disk.{number}")
    (path / "disk.0").chmod(0o640)
    (path / "disk.5").symlink_to("/srv/images/elsewhere.img")
    (path / "disk.6").symlink_to("disk.1")
    (path / "sub").mkdir(mode=0o750)
    for number in range(50):
        (path / "sub" / f"small {number}").write_bytes(BLOCK[: 100 * number])


def age(path: Path) -> None:
    """Give a file or tree times of long ago, so that a time that was not kept is seen."""
    for found in [path, *path.rglob("*")]:
        os.utime(found, (LONG_AGO, LONG_AGO), follow_symlinks=False)


def fingerprint(path: Path) -> dict[str, Any]:
    """Give names, kinds, modes, times, links and digests of a file or a tree.

    The mode of the topmost is left out, for it is the site's to set.
    """
    found = {".": _facts(path)[1:]}
    below = sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []
    return found | {str(entry.relative_to(path)): _facts(entry) for entry in below}


def _facts(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return 0, "link", str(path.readlink())
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return mode, "directory"
    return mode, "file", status.st_size, status.st_mtime_ns, digest(path)


def digest(path: Path) -> str:
    """Give the SHA-256 of a file's contents."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(MIB):
            total.update(block)
    return total.hexdigest()


def allocated(path: Path) -> int:
    """Give the bytes that the files of a tree take on disk."""
    states = [found.lstat() for found in [path, *path.rglob("*")]]
    return sum(state.st_blocks * 512 for state in states if stat.S_ISREG(state.st_mode))


def left_over(*directories: Path) -> list[Path]:
    """Give what has a temporary name of ours below some directories."""
    return [found for top in directories for found in top.rglob(".tm-*")]
