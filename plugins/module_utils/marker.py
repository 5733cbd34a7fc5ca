"""Tell whether two paths, on one host or on two, are one and the same place.

Numbers and times of a file tell it no more when a network file system shows a cached state or the
same directory is mounted twice. A file of a name that nobody else has is there for both or is not.
"""

import contextlib
import os
from typing import Iterator

from ansible_collections.one.tm.plugins.module_utils import files, listing, making, temporary
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type


@contextlib.contextmanager
def placed(final: str) -> Iterator[str]:
    """Give the name of a marker that is beside a destination within the block.

    Args:
        final: the destination's path; its directory exists.
    """
    path = temporary.temporary_name(final, temporary.HERE + os.urandom(16).hex())
    with files.held(making.made(path, final, making.make_file), path):
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
    if any(marker in names for _directory, _directories, names in listing.walk(source)):
        raise TmError("refused to put %s into itself" % source)
    return False
