"""The images that are copied; sizes in MiB are those of the dense one."""

import os
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20
PIECE = 1 << 16


def make_sparse(path: Path, size_mib: int) -> None:
    """Make an image of four times the size, a sixteenth of it data in 16 places."""
    with path.open("wb") as file:
        file.truncate(4 * size_mib * MIB)
        for number in range(16):
            file.seek(number * size_mib * MIB // 4)
            file.write(os.urandom(size_mib * MIB // 64))


def make_zero(path: Path, size_mib: int) -> None:
    """Make an image of four times the size that is allocated and zero."""
    with path.open("wb") as file:
        for _ in range(4 * size_mib):
            file.write(bytes(MIB))


def make_dense(path: Path, size_mib: int) -> None:
    """Make an image of random bytes."""
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))


def make_text(path: Path, size_mib: int) -> None:
    """Make an image of text: pieces of Python's own library in any order."""
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
    text = b"".join(source.read_bytes() for source in sources)
    pieces = _any_order(text, size_mib * MIB // PIECE)
    with path.open("wb") as file:
        file.writelines(pieces)


def _any_order(text: bytes, count: int) -> Iterator[bytes]:
    chance = random.Random(0)  # noqa: S311 - the same text in every run
    for _ in range(count):
        begin = chance.randrange(len(text) - PIECE)
        yield text[begin : begin + PIECE]


def make_directory(path: Path, size_mib: int) -> None:
    """Make a VM's directory: four images, a link, fifty small files."""
    path.mkdir()
    for number in range(4):
        make_dense(path / f"disk.{number}", size_mib // 16)
    (path / "disk.4").symlink_to("/srv/images/base.img")
    for number in range(50):
        (path / f"small.{number}").write_bytes(os.urandom(1000))
