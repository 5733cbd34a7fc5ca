"""What a site gives to its runs in files: whether a later run would read the same."""

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from tm_ansible.engine.job import RunOptions

# Of a directory with variables beside an inventory.
_VARIABLES = ("group_vars", "host_vars")
# An inventory of Ansible's plugins asks somebody else; see ansible.plugins.inventory.auto.
_PLUGIN = re.compile(rb"(?:^|[{,])\s*['\"]?plugin['\"]?\s*:|\A\$ANSIBLE_VAULT", re.MULTILINE)
_MOST_BYTES = 1 << 20

State: TypeAlias = tuple[object, ...]


def state_of(place: str | os.DirEntry[str]) -> State:
    """Give something that is equal as long as a file is as it was.

    Args:
        place: the file, or an entry of its directory.
    """
    path = os.fspath(place)
    try:
        status = os.stat(path) if isinstance(place, str) else place.stat()  # noqa: PTH116
    except OSError:  # not there, or being replaced
        return (path,)
    return (path, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def states_below(directory: str, *, follow: bool = False) -> Iterator[State]:
    """Give the states of all files below a directory, but those that Python compiles.

    Args:
        directory: its path; it need not be there.
        follow: whether links to directories are followed, each directory once.

    Yields:
        As ``state_of``.
    """
    yield from _walk(directory, set() if follow else None)


def _walk(directory: str, entered: set[str] | None) -> Iterator[State]:
    """Walk a tree; ``entered`` has the real paths of links that were followed, if any are to be."""
    try:
        with os.scandir(directory) as entries:
            found = list(entries)
    except OSError:
        yield (directory,)
        return
    for entry in found:
        if not _is_directory(entry) or (entered is None and entry.is_symlink()):
            yield state_of(entry)
        elif entered is not None and entry.is_symlink():
            real = os.path.realpath(entry.path)
            yield (entry.path, real)
            if real not in entered:
                entered.add(real)
                yield from _walk(entry.path, entered)
        elif entry.name != "__pycache__":
            yield from _walk(entry.path, entered)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a directory, or a link to one that can be reached."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def state(options: RunOptions) -> list[State]:
    """Give something that is equal as long as all that a site gives is as it was.

    Args:
        options: name its files.
    """
    files = [*options.extra_vars_files, options.vault_password_file, options.private_key_file]
    found = [state_of(path) for path in files if path]
    for inventory in options.inventories:
        found += [state_of(inventory), *states_below(inventory, follow=True)]
        beside = os.path.dirname(inventory)  # noqa: PTH120
        for name in _VARIABLES:
            found += states_below(os.path.join(beside, name), follow=True)  # noqa: PTH118
    return found


def are_files(options: RunOptions) -> bool:
    """Tell whether all inventories are files to read: what programs say, nobody can compare.

    Args:
        options: name them.
    """
    try:
        return not any(_asks(Path(inventory)) for inventory in options.inventories)
    except OSError:
        return False


def _asks(inventory: Path) -> bool:
    """Tell whether an inventory, or one in a directory of them, asks somebody else."""
    if inventory.is_dir():
        return any(_asks(each) for each in inventory.iterdir() if each.name not in _VARIABLES)
    if not inventory.is_file() or os.access(inventory, os.X_OK):
        return True
    return _names_plugin(state_of(str(inventory)))


@functools.lru_cache(maxsize=1024)
def _names_plugin(state: State) -> bool:
    """Tell whether a file is of a plugin: in this state it is read once."""
    try:
        return bool(_PLUGIN.search(Path(str(state[0])).read_bytes()[:_MOST_BYTES]))
    except OSError:
        return True
