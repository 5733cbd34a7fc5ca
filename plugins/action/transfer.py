"""Move an image from one host to another, through the controller, over Ansible's connections."""

import os
import time
from typing import Any, Dict, Optional

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.sizes import count, human, rate
from ansible_collections.one.tm.plugins.plugin_utils import connections, progress, route, sessions
from ansible_collections.one.tm.plugins.plugin_utils.step import (
    ATTRIBUTES,
    BANDWIDTH,
    FORMAT,
    PATH,
    PATHS,
    POLICY,
)

__metaclass__ = type

SOURCE_POLICY = ("source_dirs", "allowed_dirs", "more_dirs", "own_paths")
ARGUMENTS = {
    "source_host": {"type": "str", "required": True},
    "source": PATH,
    "destination": PATH,
    "source_name": {"type": "str"},
    "destination_name": {"type": "str"},
    "into": {"type": "bool", "default": False},
    "move": {"type": "bool", "default": False},
    "directories": {"type": "bool", "default": True},
    "source_dirs": PATHS,
    "source_policy": {
        "type": "dict",
        "options": {name: {"type": "list", "elements": "str"} for name in SOURCE_POLICY},
    },
    "compression": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
    "route": {"type": "str", "choices": ["auto", "direct", "front_end"], "default": "auto"},
    "bandwidth_mib": BANDWIDTH,
    "source_bandwidth_mib": {"type": "int"},
    "front_end_bandwidth_mib": BANDWIDTH,
    "format": dict(FORMAT, default="raw"),
    "cache_dir": {"type": "str", "default": ""},
    "cache_size_gib": {"type": "int", "default": 100},
    "cache_age_days": {"type": "int", "default": 30},
    "silence": {"type": "float", "default": 300},
    **ATTRIBUTES,
    **POLICY,
}


class ActionModule(ActionBase):
    """The action one.tm.transfer."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(
        self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None
    ) -> Dict[str, Any]:
        """Move the image and return the task's result."""
        result = super(ActionModule, self).run(tmp, task_vars)
        variables = task_vars or {}
        _specification, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            result.update(self._transfer(options, variables))
        except TmError as error:
            result.update(failed=True, msg=error.message, tm_detail=error.detail)
        return result

    def _transfer(self, options: Dict[str, Any], variables: Dict[str, Any]) -> Dict[str, Any]:
        here = variables["inventory_hostname"]
        names = (
            _name(options["source_host"], options["source_name"]),
            _name(here, options["destination_name"]),
        )
        source = self._source(options["source_host"], here, variables, names[0])
        destination = connections.of_play(self, variables, names[1])
        self._connect(source, destination)
        image = os.path.basename(options["source"].rstrip("/"))
        way = route.Route(
            route.End(source, _sender_config(options, variables)),
            route.End(destination, self._receiver_config(options, names[1])),
            progress.of_task(image, variables),
            options,
        )
        begun = time.monotonic()
        done = way.carry()
        seconds = time.monotonic() - begun
        if done.get("local"):
            return done
        text = _sentence(image, names, done, self._task.check_mode)
        if done["bytes"] and not self._task.check_mode:
            text += ": " + rate(done["bytes"], seconds)
            done["copy_seconds"] = seconds
        return dict(done, local=False, tm_log=[text])

    def _source(self, host: str, here: str, variables: Dict[str, Any], name: str) -> Any:
        if host == here:
            return connections.of_play(self, variables, name)
        return connections.of_inventory(self, variables, host, name)

    def _connect(self, source: connections.Far, destination: connections.Far) -> None:
        sessions.connect(destination)
        try:
            source.connect()
        except AnsibleConnectionFailure as error:
            raise connections.unreachable(source, error) from error

    def _receiver_config(self, options: Dict[str, Any], name: str) -> Dict[str, Any]:
        keys = ["source_host", "source", "destination", "into", "move", "source_dirs", "format"]
        keys += [*POLICY, "mode", "owner", "group", "bandwidth_mib"]
        cache = {
            "directory": options["cache_dir"],
            "size_gib": options["cache_size_gib"],
            "age_days": options["cache_age_days"],
            "host": name,
        }
        config = {key: options[key] for key in keys}
        return dict(config, check=self._task.check_mode, cache=cache)


def _sender_config(options: Dict[str, Any], variables: Dict[str, Any]) -> Dict[str, Any]:
    keys = ["source", "source_dirs", "move", "directories", "format", "compression", *POLICY]
    limit = options["source_bandwidth_mib"]
    if limit is None:
        limit = _limit_of(options["source_host"], variables)
    config = dict({key: options[key] for key in keys}, bandwidth_mib=limit)
    there = options["source_policy"] or {}
    config.update((key, value) for key, value in there.items() if value is not None)
    return config


def _limit_of(host: str, variables: Dict[str, Any]) -> int:
    """Return the limit of bandwidth that a host's own variables name; the front-end has its own."""
    if host == connections.FRONT_END:
        return int(variables.get("tm_front_end_bandwidth_mib") or 0)
    return int(variables["hostvars"][host].get("tm_bandwidth_mib") or 0)


def _name(host: str, name: Optional[str]) -> str:
    """Return how a host is called in messages."""
    return name or ("the front-end" if host == connections.FRONT_END else host)


def _sentence(image: str, names: Any, done: Dict[str, Any], check_mode: bool) -> str:
    final = os.path.basename(done["destination"])
    if done["same"]:
        return "%s is the same place on %s and %s" % (done["destination"], names[0], names[1])
    if done["gone"]:
        return "%s is already in its place on %s" % (done["destination"], names[1])
    if done["complete"]:
        return "%s is already complete on %s" % (final, names[1])
    if done["cached"]:
        how = "by reflink" if done["cached"] == "reflink" else human(done["size"])
        return "copied %s from the cache of %s to %s, %s" % (image, names[1], final, how)
    verb = "would copy" if check_mode else "copied"
    what = "%s from %s to %s, %s" % (image, names[0], final, human(done["size"]))
    if done["type"] == "directory":
        what += " in " + count(done["files"], "file")
    if done["resumed"]:
        what += ", resumed at " + human(done["resumed"])
    return "%s %s" % (verb, what)
