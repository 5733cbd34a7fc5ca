"""List trees by their paths, with no recursion: how deep they are is up to who made them."""

import os
from typing import Iterator, List, Tuple

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

# In how many directories within each other something lies that is copied. Removals know no limit,
# nor do renames.
DEEPEST = 256


def walk(top: str, strict: bool = False) -> Iterator[Tuple[str, List[str], List[str]]]:
    """Yield each directory's path with the names of the directories and of all else in it.

    The directories may be sorted before the walk goes on, which then goes on in that order.

    Args:
        top: path of the first; what is no directory yields nothing, unless that is an error.
        strict: whether a directory that cannot be listed is an error; else it is left out.

    Raises:
        OSError: why a directory cannot be listed.
    """
    waiting = [top]
    while waiting:
        place = waiting.pop()
        directories = []  # type: List[str]
        others = []  # type: List[str]
        try:
            with os.scandir(place) as found:
                for entry in found:
                    is_directory = entry.is_dir(follow_symlinks=False)
                    (directories if is_directory else others).append(entry.name)
        except OSError:
            if strict:
                raise
            continue
        yield place, directories, others
        waiting.extend(os.path.join(place, name) for name in reversed(directories))


def check_depth(top: str, name: str) -> None:
    """Refuse to copy what lies in too many directories.

    Args:
        top: path of what is copied.
        name: path of something in it, relative to it.

    Raises:
        TmError: it lies too deep.
    """
    if name.count("/") >= DEEPEST:
        raise TmError(
            "%s has files or directories within more than %d others, and is not copied; move what "
            "is needed out of it, and remove the rest"
            % (os.path.join(top, name.partition("/")[0]), DEEPEST)
        )
