"""Which action plugin carries out an action of the transfer manager, and with which arguments."""

import os
from typing import Any, Dict, Mapping, NamedTuple, Sequence

from ansible_collections.one.tm.plugins.filter.arguments import policy, saves_disk, target
from ansible_collections.one.tm.plugins.module_utils import paths
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

FRONT_END = "localhost"

OWNERSHIP = ("mode", "owner", "group")
SOURCES = ("source_dirs", "format")
POLICY = ("allowed_dirs", "own_paths", "vm_id")
COPYING = (*SOURCES, *OWNERSHIP, "bandwidth_mib")
CACHE = ("cache_dir", "cache_size_gib", "cache_age_days")
ROUTE = ("compression", "route", "bandwidth_mib", "front_end_bandwidth_mib")

Planned = NamedTuple("Planned", [("plugin", str), ("arguments", Dict[str, Any])])


class Action:
    """An action, where it runs, and how the site wants it.

    Attributes:
        words: what the script says: ``action``, ``source``, ``destination``, ``size_mib``,
            ``filesystem``; each but the first only where the action has it.
        ways: how the site wants it: storage model, policy, attributes, limits.
        here: inventory name of the host where it runs.
        hosts: variables of all hosts, from ``hostvars``.
    """

    def __init__(
        self, words: Dict[str, Any], ways: Mapping[str, Any], here: str, hosts: Mapping[str, Any]
    ) -> None:
        """Take an action."""
        self.words = words
        self.ways = ways
        self.here = here
        self.hosts = hosts
        self.source = paths.split(words.get("source", ""))[1]
        self.destination = paths.split(words.get("destination", ""))[1]

    def host(self, argument: str) -> str:
        """Return the inventory name of an argument's host."""
        return target(self.words[argument], self.ways["front_ends"])

    def name(self, argument: str) -> str:
        """Return how the script calls an argument's host."""
        return paths.split(self.words[argument])[0]

    @property
    def sees_source(self) -> bool:
        """Tell whether the source is on this host, or on storage that it shares with it."""
        host = self.host("source")
        shared = (FRONT_END, self.host("destination"))
        return host == self.here or (self.ways["images_shared"] and host in shared)

    def planned(self, plugin: str, ways: Sequence[str], **arguments: Any) -> Planned:
        """Return a plan with some of the site's ways as arguments."""
        given = {way: self.ways[way] for way in (*ways, *POLICY)}
        more = self.ways["allowed_for"].get(self.words["action"].upper(), [])
        return Planned("one.tm." + plugin, dict(given, more_dirs=more, **arguments))

    def transferred(self, ways: Sequence[str], **arguments: Any) -> Planned:
        """Return a plan to bring the source from another host."""
        host = self.host("source")
        # The mapping of Ansible gives something undefined instead of a default.
        variables = self.hosts[host] if host in self.hosts else {}  # noqa: SIM401
        return self.planned(
            "transfer",
            (*ways, *ROUTE),
            source_host=host,
            source_policy=policy(variables, self.ways, self.words["action"]),
            source_name=self.name("source"),
            destination_name=self.name("destination"),
            source=self.source,
            destination=self.destination,
            **arguments,
        )


def clone(action: Action) -> Planned:
    """Copy the image on this host, or bring it from another."""
    if not action.sees_source:
        return action.transferred((*SOURCES, *OWNERSHIP, *CACHE), directories=False)
    places = {"source": action.source, "destination": action.destination}
    return action.planned("clone", COPYING, **places)


def ln(action: Action) -> Planned:
    """Link to an image of a shared repository; elsewhere a copy has to do."""
    if not (action.ways["images_shared"] and action.sees_source):
        return clone(action)
    places = {"source": action.source, "destination": action.destination}
    return action.planned("link", (*SOURCES, *OWNERSHIP), **places)


def mv(action: Action) -> Planned:
    """Move on this host; a shared directory needs no move but that of a disk to be saved."""
    is_saved = saves_disk(action.source, action.destination)
    if action.ways["vm_dir_shared"] and not is_saved:
        name = os.path.basename(action.source)
        message = "%s stays where it is: the directory is shared" % name
        return Planned("one.tm.log", {"message": message})
    if not action.ways["vm_dir_shared"] and action.host("source") != action.here:
        raise TmError("%s is on another host; use the playbook mv.yml" % action.words["source"])
    # A VM's own images are not looked into on their way: whatever their guest wrote, they stay
    # its disks. A disk that is saved becomes an image.
    format_ = action.ways["format"] if is_saved else "raw"
    places = {"source": action.source, "destination": action.destination}
    ways = ("source_dirs", "bandwidth_mib")
    return action.planned("move", ways, format=format_, **places)


def mkswap(action: Action) -> Planned:
    """Make a swap image."""
    size = action.words["size_mib"]
    return action.planned("mkswap", OWNERSHIP, destination=action.destination, size_mib=size)


def mkimage(action: Action) -> Planned:
    """Make an empty image."""
    return action.planned(
        "mkimage",
        OWNERSHIP,
        destination=action.destination,
        size_mib=action.words["size_mib"],
        filesystem=action.words["filesystem"],
    )


def delete(action: Action) -> Planned:
    """Delete images."""
    return action.planned("remove", (), path=action.source)


PLANS = {
    "clone": clone,
    "delete": delete,
    "ln": ln,
    "mkimage": mkimage,
    "mkswap": mkswap,
    "mv": mv,
}  # type: Dict[str, Callable[[Action], Planned]]


def plan(
    words: Dict[str, Any], ways: Mapping[str, Any], here: str, hosts: Mapping[str, Any]
) -> Planned:
    """Return what carries out an action.

    Args:
        words: see ``Action``.
        ways: see ``Action``.
        here: see ``Action``.
        hosts: see ``Action``.

    Raises:
        TmError: a word is missing, or the action takes more than one step.
    """
    try:
        return PLANS[words["action"]](Action(words, ways, here, hosts))
    except KeyError as error:
        raise TmError("the action %r lacks %s" % (words.get("action"), error)) from None
