"""Walk a tree of any depth with two open directories, following no link and leaving it nowhere.

Nothing here goes by a path, which may be longer than the system allows. The way back up is the
directory's own ``..``, taken only if it leads to where the way down came from.
"""

import os
import stat
from typing import Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A directory on the way need not be readable.
STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(NamedTuple):
    """One thing in a tree.

    Attributes:
        directory: descriptor of the directory that has it, open until the walk goes on.
        name: its name there.
        state: its state; None for a directory.
    """

    directory: int
    name: str
    state: Optional[os.stat_result]


class _Level(NamedTuple):
    name: str
    identity: Tuple[int, int]
    left: List[str]


def walk(parent: int, name: str, device: int) -> Iterator[Found]:
    """Yield all that is in a tree, and last the tree itself; each may be removed at once.

    What disappears meanwhile is left out.

    Args:
        parent: descriptor of the directory that has the name.
        name: of a file, link or directory in it.
        device: number of the only file system that is entered.

    Raises:
        TmError: another file system is mounted there, or a directory was moved meanwhile.
        FileNotFoundError: nothing has the name.
        OSError: part of it cannot be read.
    """
    os.stat(name, dir_fd=parent, follow_symlinks=False)
    descent = _Descent(parent, name, device)
    try:
        while descent.levels:
            found = descent.step()
            if found:
                yield found
    finally:
        os.close(descent.here)


class _Descent:
    """Where a walk is: an open directory, and what is left to do in it and in those above.

    Attributes:
        here: descriptor of the directory.
        levels: the directories from the one that has the tree to this one; none at the end.
    """

    def __init__(self, parent: int, name: str, device: int) -> None:
        """Begin above the tree."""
        self._device = device
        self.levels = [_Level("", _identity(os.fstat(parent)), [name])]
        self.here = os.dup(parent)

    def step(self) -> Optional[Found]:
        """Go one thing further; return it, or None if it is not to be told yet or any more."""
        left = self.levels[-1].left
        if not left:
            return self._ascend()
        try:
            return self._look(left.pop())
        except FileNotFoundError:
            return None

    def _look(self, name: str) -> Optional[Found]:
        state = os.stat(name, dir_fd=self.here, follow_symlinks=False)
        self._check(name, state)
        if not stat.S_ISDIR(state.st_mode):
            return Found(self.here, name, state)
        other = os.open(name, DIRECTORY, dir_fd=self.here)
        try:
            state = os.fstat(other)
            self._check(name, state)
            names = os.listdir(other)
            # An empty one may be one that cannot be left by its "..".
            if not names:
                return Found(self.here, name, None)
            self.levels.append(_Level(name, _identity(state), names))
            self.here, other = other, self.here
            return None
        finally:
            os.close(other)

    def _ascend(self) -> Optional[Found]:
        name = self.levels.pop().name
        if not self.levels:
            return None
        above = _open_above(self.here, name)
        os.close(self.here)
        self.here = above
        if _identity(os.fstat(above)) != self.levels[-1].identity:
            raise _moved(name)
        return Found(above, name, None)

    def _check(self, name: str, state: os.stat_result) -> None:
        if state.st_dev != self._device:
            raise TmError(
                "refused to enter %s: another file system is mounted there, and none is emptied, "
                "whatever the settings; unmount it first" % name
            )


def _open_above(directory: int, name: str) -> int:
    try:
        return os.open("..", STEP, dir_fd=directory)
    except FileNotFoundError:
        raise _moved(name) from None
    except OSError as error:
        error.filename = name
        raise


def _moved(name: str) -> TmError:
    return TmError("the directory %s was moved while it was removed; stop what does it" % name)


def _identity(state: os.stat_result) -> Tuple[int, int]:
    return state.st_dev, state.st_ino
