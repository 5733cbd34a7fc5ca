"""Tell whether two paths, on one host or on two, are one and the same place.

Numbers and times of a file tell it no more when a network file system shows a cached state or the
same directory is mounted twice. A file of a name that nobody else has is there for both or is not.
"""

import contextlib
import os
from typing import Iterator

from ansible_collections.one.tm.plugins.module_utils import lifeline
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.files import temporary_name

__metaclass__ = type


@contextlib.contextmanager
def placed(final: str) -> Iterator[str]:
    """Give the name of a marker that is beside a destination within the block.

    What killed runs left is removed: only one at a time may make a destination.

    Args:
        final: the destination's path; its directory exists.
    """
    directory, stem = os.path.split(temporary_name(final, "here-"))
    for name in os.listdir(directory):
        if name.startswith(stem):
            lifeline.discard(os.path.join(directory, name))
    path = os.path.join(directory, stem + os.urandom(16).hex())
    with lifeline.temporary(path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield os.path.basename(path)


def is_destination(source: str, marker: str, name: str) -> bool:
    """Tell whether a source is the destination itself.

    Args:
        source: its path.
        marker: name of the file that is beside the destination now.
        name: the destination's own.

    Raises:
        TmError: the destination lies within the source.
    """
    for place in (source, os.path.realpath(source)):
        beside = os.path.join(os.path.dirname(place), marker)
        if os.path.basename(place) == name and os.path.lexists(beside):
            return True
    if any(marker in files for _directory, _directories, files in os.walk(source)):
        raise TmError("refused to put %s into itself" % source)
    return False
