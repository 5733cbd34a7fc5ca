"""Directories entered step by step, following no link, so that none can take their place later.

A path that begins with the descriptor of an open directory (``/proc/self/fd/<number>``, proc(5))
leads there whatever becomes of the names above it. Files are made and renamed under such a path.
"""

import contextlib
import os
from typing import Iterator, List

from ansible_collections.one.tm.plugins.module_utils import leftovers, removal
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, set_attributes
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type


@contextlib.contextmanager
def workplace(final: str, attributes: Attributes) -> Iterator[str]:
    """Give a destination's path below its open directory, which is made and swept if need be.

    Args:
        final: the destination's path, with no link in its directories.
        attributes: mode and owner of directories that are made, see ``make_directory``.

    Raises:
        OSError: a directory cannot be made, or a link stands in the way.
    """
    _make(os.path.dirname(final), attributes)
    with anchored(final) as place:
        leftovers.sweep(os.path.dirname(place))
        yield place


@contextlib.contextmanager
def anchored(real: str) -> Iterator[str]:
    """Give a path below its open directory; errors name it as it was.

    Args:
        real: absolute path, with no link in its directories.

    Raises:
        OSError: its directory is not there, or a link stands in the way.
    """
    directory, name = os.path.split(real)
    with removal.open_parent(real) as parent:
        anchor = "/proc/self/fd/%d" % parent
        try:
            yield os.path.join(anchor, name)
        except TmError as error:
            error.message = error.message.replace(anchor, directory)
            error.detail = [line.replace(anchor, directory) for line in error.detail]
            error.args = (error.message,)
            raise
        except OSError as error:
            error.filename = _renamed(error.filename, anchor, directory)
            error.filename2 = _renamed(error.filename2, anchor, directory)
            raise


def _renamed(path: object, anchor: str, directory: str) -> object:
    return path.replace(anchor, directory) if isinstance(path, str) else path


def make_directory(path: str, attributes: Attributes) -> List[str]:
    """Make a directory and those above it that are missing; sweep what ended runs left in it.

    Those that exist stay as they are. The last one gets the mode of the images in it, as the
    stock scripts did; all get their owner.

    Args:
        path: absolute path; its links are followed.
        attributes: mode and owner.

    Returns:
        the directories made, outermost first.

    Raises:
        OSError: one of them cannot be made.
    """
    leftovers.sweep(path)
    return _make(os.path.realpath(path), attributes)


def _make(real: str, attributes: Attributes) -> List[str]:
    """Make what is missing of a path without links; return what was made."""
    made = []  # type: List[str]
    place = "/"
    descriptor = os.open(place, removal.STEP)
    try:
        for part in real.split("/")[1:]:
            place = os.path.join(place, part)
            try:
                deeper = os.open(part, removal.STEP, dir_fd=descriptor)
            except FileNotFoundError:
                wanted = attributes if place == real else attributes._replace(mode=None)
                deeper = _make_one(descriptor, place, wanted)
                made.append(place)
            except OSError as error:
                error.filename = place
                raise
            os.close(descriptor)
            descriptor = deeper
    finally:
        os.close(descriptor)
    return made


def _make_one(parent: int, path: str, attributes: Attributes) -> int:
    """Make a directory in an open one; return its descriptor."""
    name = os.path.basename(path)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
        # Where everybody may write, a link may take its place at once.
        descriptor = os.open(name, removal.DIRECTORY, dir_fd=parent)
    except OSError as error:
        error.filename = path
        raise
    set_attributes(descriptor, attributes)
    removal.flush(parent)
    return descriptor
