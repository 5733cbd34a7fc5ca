"""Files laid out in an installation, with respect for what a person has changed there."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import msgspec

from tm_ansible.errors import SettingsError


@dataclass(frozen=True, slots=True)
class LaidFile:
    """A file to lay out.

    Attributes:
        path: below the root of the installation.
        text: its content.
        executable: whether it is a program.
        once: whether any file that is already there stays, whoever wrote it.
    """

    path: Path
    text: str
    executable: bool = False
    once: bool = False


class Effect(str, Enum):
    """What became of a file."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Laid:
    """What was done about one file.

    Attributes:
        path: where it is.
        effect: what became of it.
        beside: where the new version stands, if the file was kept.
    """

    path: Path
    effect: Effect
    beside: Path | None = None


def lay_out(files: Iterable[LaidFile], root: Path, manifest: Path) -> list[Laid]:
    """Write files below a root.

    A file that is as it was laid out the last time is replaced; any other is kept, and the new
    version stands beside it with the suffix ``.new``. Files already as they should be are not
    touched.

    Args:
        files: what to write.
        root: directory that all paths are below.
        manifest: path below the root where the digests of what was laid out are kept.

    Returns:
        What was done, in order.

    Raises:
        SettingsError: something cannot be read or written; the message names it.
    """
    done: list[Laid] = []
    with _complaints_about(root / manifest):
        known = _read_manifest(root / manifest)
    for file in files:
        with _complaints_about(root / file.path):
            done.append(_lay(file, root, known))
    with _complaints_about(root / manifest):
        text = json.dumps(known, indent=1, sort_keys=True) + "\n"
        _write_if_other(root / manifest, text, executable=False)
    return done


@contextlib.contextmanager
def _complaints_about(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "move away what is in the way, or install as a user who may write there"
        raise SettingsError(f"{path}: {error.strerror}: {remedy}") from None


def _lay(file: LaidFile, root: Path, known: dict[str, str]) -> Laid:
    path, name = root / file.path, str(file.path)
    present = path.read_bytes() if os.path.lexists(path) else None
    if present is None:
        known[name] = _digest(file.text.encode())
        _write(path, file.text, executable=file.executable)
        return Laid(path, Effect.CREATED)
    if present == file.text.encode():
        known[name] = _digest(present)
        return Laid(path, Effect.UNCHANGED)
    if known.get(name) == _digest(present):
        known[name] = _digest(file.text.encode())
        _write(path, file.text, executable=file.executable)
        return Laid(path, Effect.UPDATED)
    if file.once:
        return Laid(path, Effect.UNCHANGED)
    beside = path.with_name(path.name + ".new")
    _write_if_other(beside, file.text, executable=file.executable)
    return Laid(path, Effect.KEPT, beside)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}  # without it every file that differs counts as changed by a person


def _write_if_other(path: Path, text: str, *, executable: bool) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == text.encode():
            return
    _write(path, text, executable=executable)


def _write(path: Path, text: str, *, executable: bool) -> None:
    """Replace a file at once: oned may be starting it this moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(0o755 if executable else 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
