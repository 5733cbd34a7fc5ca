"""Filters for an action's arguments: ``<host>:<path>`` or a URL."""

import os
import re
import socket
from typing import Any, Callable, Dict, Iterable, List, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.one.tm.plugins.module_utils import paths

LOCAL = ("", "localhost", "127.0.0.1", "::1")
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$")
ADDRESS = re.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?$")
PATTERNS = ("all", "ungrouped")
DISK = re.compile(r"disk\.\d+$")
POLICY = ("source_dirs", "allowed_dirs", "own_paths")
VM_IMAGES = re.compile(r"/[^/]+/images/(?=[^/]+$)")


def arg_host(argument: str) -> str:
    """Return the host of an argument; the server's name of a URL, nothing of a path alone."""
    return paths.split(argument)[0]


def arg_path(argument: str) -> str:
    """Return the path of an argument, without repeated slashes."""
    return paths.split(argument)[1]


def arg_scheme(argument: str) -> str:
    """Return the scheme of a URL in lower case; nothing for other arguments."""
    return paths.scheme(argument)


def shown(argument: str) -> str:
    """Return an argument without the secrets that a URL may have."""
    return paths.without_secrets(argument)


def target(argument: str, front_ends: Iterable[str] = ()) -> str:
    """Return the inventory name of an argument's host, ``localhost`` for the front-end.

    Args:
        argument: as the action has it; the hosts of URLs are none of ours: the front-end.
        front_ends: names that mean the front-end, besides this machine's own.

    Raises:
        AnsibleFilterError: it is neither a name nor an address.
    """
    host = "" if paths.scheme(argument) else paths.split(argument)[0]
    ours = {name.lower() for name in (*LOCAL, *front_ends, *_own_names())}
    if host.lower() in ours:
        return "localhost"
    if host in PATTERNS or not (NAME.match(host) or ADDRESS.match(host)):
        raise AnsibleFilterError("%s is neither a host name nor an address" % ascii(host)[:300])
    return host


def targets(arguments: Iterable[str], front_ends: Iterable[str] = ()) -> List[str]:
    """Return the inventory names of several arguments' hosts, without the front-end."""
    names = {target(argument, front_ends) for argument in arguments}
    return sorted(names - {"localhost"})


def saves_disk(source: str, destination: str) -> bool:
    """Tell whether what is moved is a disk that leaves its VM's images, to become an image itself.

    Args:
        source: path; a VM's images lie in ``<VM>/images``, wherever a host has that.
        destination: path; either of them is named ``disk.<n>`` where a disk is moved.
    """
    is_disk = any(DISK.match(os.path.basename(path)) for path in (source, destination))
    home = VM_IMAGES.search(source)
    return is_disk and not (home and home.group() in destination + "/")


def policy(variables: Mapping[str, Any], ways: Mapping[str, Any], verb: str) -> Dict[str, Any]:
    """Return what a host's own variables allow there, as modules take it.

    Args:
        variables: the host's, from ``hostvars``.
        ways: the task's own ``source_dirs``, ``allowed_dirs``, ``own_paths`` and ``allowed_for``,
            for what the host's variables do not say.
        verb: of the action.
    """
    rules = {name: variables.get("tm_" + name, ways[name]) for name in POLICY}
    more = variables.get("tm_allowed_for", ways["allowed_for"]) or {}
    return dict(rules, more_dirs=more.get(verb.upper()) or [])


def _own_names() -> List[str]:
    name = socket.gethostname()
    return [name, name.partition(".")[0]]


class FilterModule:
    """The filters, by the names that playbooks use."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        """Return them."""
        return {
            "arg_host": arg_host,
            "arg_path": arg_path,
            "arg_scheme": arg_scheme,
            "policy": policy,
            "saves_disk": saves_disk,
            "shown": shown,
            "target": target,
            "targets": targets,
        }
