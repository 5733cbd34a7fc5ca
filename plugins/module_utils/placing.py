"""Where a moved image goes, and whether it is there already. Nothing here changes anything."""

import os
from typing import Any, Dict, NamedTuple, Optional, Sequence

from ansible_collections.one.tm.plugins.module_utils import entries, paths, policy
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type


class Offer(NamedTuple):
    """What the sender has.

    Attributes:
        path: the source's path, as the sender was asked for it.
        found: what is there, or None if there is nothing.
        host: what the sender's host says of itself.
        backing: files that an image builds on, as ``formats.check`` gave them there.
        is_settled: whether the source's change time is old enough to tell its states apart.
    """

    path: str
    found: Optional[entries.Tree]
    host: Dict[str, str]
    backing: Sequence[Sequence[Any]] = ()
    is_settled: bool = False


class Place(NamedTuple):
    """Where an offer goes.

    Attributes:
        final: the real path that the image will have.
        there: what is there now, or None.
        replaces: whether a directory that is there makes room.
    """

    final: str
    there: Optional[entries.Tree]
    replaces: bool


def offer_of(header: Dict[str, Any]) -> Offer:
    """Read what a sender offers; it comes from another host and may be anything.

    Args:
        header: as JSON.

    Raises:
        TmError: it is no offer.
    """
    rows, backing = header.get("entries"), header.get("backing", [])
    texts = [header.get("path")]
    host, settled = header.get("host"), header.get("settled", False)
    if isinstance(host, dict) and isinstance(backing, list):
        texts += [*host.values(), *(row[0] for row in backing if _is_backing(row))]
        if all(isinstance(text, str) for text in texts) and all(map(_is_backing, backing)):
            found = entries.Tree.from_json(rows) if rows else None
            return Offer(texts[0], found, host, backing, settled is True)
    raise TmError("the stream is damaged: what is offered has no path or host")


def _is_backing(row: Any) -> bool:
    """Tell whether a value can be a ``formats.Backing``."""
    return isinstance(row, list) and [type(each) for each in row] == [str, int, int]


def name_of(source: str, offer: Offer) -> str:
    """Return the last part of the source's path, if the offer is of that source.

    Args:
        source: path that the controller asked for.
        offer: what the sender has; its host does not choose where that goes.

    Raises:
        TmError: another path is offered.
    """
    asked = paths.checked(source, "source")
    if offer.path != asked:
        offered = ascii(offer.path)[:300]
        raise TmError(
            "refused what came: the source's host sends %s for %s; find out what answers there"
            % (offered, asked)
        )
    return os.path.basename(asked)


def find_place(config: Dict[str, Any], offer: Offer) -> Place:
    """Return where an offer goes.

    As with mv(1), an existing directory takes it in, if ``into`` says so. A directory that has
    the source's own name is the same one from an earlier attempt, and is replaced.

    Args:
        config: ``source``, which the controller asked for, ``destination``, ``into``, ``move``,
            ``source_dirs``, those of ``policy.ARGUMENTS``.
        offer: what the sender has.

    Raises:
        TmError: the destination is refused, or something else is offered than was asked for.
    """
    name = name_of(config["source"], offer)
    path = paths.checked(config["destination"], "destination")
    same_name = os.path.basename(path) == name
    if config["into"] and not same_name and os.path.isdir(path):
        path, same_name = os.path.join(path, name), True
    final = policy.check_destination(path, policy.policy_of(config), config["move"])
    return Place(final, entries.scan_if_exists(final), bool(config["into"]) and same_name)


def check_fits(place: Place, found: entries.Tree) -> None:
    """Refuse to put a file in the place of a directory, or a directory in that of anything.

    Raises:
        TmError: something is in the way.
    """
    if place.there is None:
        return
    was, comes = place.there.root, found.root
    if was.mtime_ns is None:
        raise TmError("%s is a disk, and is not replaced by a file" % place.final)
    if was.type != comes.type:
        raise TmError("%s is a %s and is in the way of a %s" % (place.final, was.type, comes.type))
    if was.type == entries.DIRECTORY and not place.replaces:
        raise TmError("%s is another directory and is in the way; delete it first" % place.final)
