"""Move an image from one host to another, through the controller, over Ansible's connections."""

import os
from typing import Any, Dict, Optional

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.sizes import count, human
from ansible_collections.one.tm.plugins.plugin_utils import (
    connections,
    farside,
    progress,
    relay,
)
from ansible_collections.one.tm.plugins.plugin_utils.step import ATTRIBUTES, PATH, PATHS

__metaclass__ = type

DISPLAY = Display()
ARGUMENTS = {
    "source_host": {"type": "str", "required": True},
    "source": PATH,
    "destination": PATH,
    "source_name": {"type": "str"},
    "destination_name": {"type": "str"},
    "into": {"type": "bool", "default": False},
    "move": {"type": "bool", "default": False},
    "directories": {"type": "bool", "default": True},
    "allowed_dirs": PATHS,
    "source_dirs": PATHS,
    "silence": {"type": "float", "default": 300},
    **ATTRIBUTES,
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
        shown = progress.Progress(image, lambda line: DISPLAY.display("tm_log: " + line))
        done = relay.Relay(shown.update, options["silence"]).run(
            relay.Part(source, farside.program("stream", "send", _sender_config(options))),
            relay.Part(
                destination, farside.program("stream", "receive", self._receiver_config(options))
            ),
        )
        return dict(done, tm_log=[_sentence(image, names, done, self._task.check_mode)])

    def _source(self, host: str, here: str, variables: Dict[str, Any], name: str) -> Any:
        if host == here:
            return connections.of_play(self, variables, name)
        return connections.of_inventory(self, variables, host, name)

    def _connect(self, source: connections.Far, destination: connections.Far) -> None:
        destination.connect()
        try:
            source.connect()
        except AnsibleConnectionFailure as error:
            raise connections.unreachable(source, error) from error

    def _receiver_config(self, options: Dict[str, Any]) -> Dict[str, Any]:
        keys = ("destination", "into", "move", "allowed_dirs", "mode", "owner", "group")
        return dict({key: options[key] for key in keys}, check=self._task.check_mode)


def _sender_config(options: Dict[str, Any]) -> Dict[str, Any]:
    keys = ("source", "source_dirs", "allowed_dirs", "move", "directories")
    return {key: options[key] for key in keys}


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
    verb = "would copy" if check_mode else "copied"
    what = "%s from %s to %s, %s" % (image, names[0], final, human(done["size"]))
    if done["type"] == "directory":
        what += " in " + count(done["files"], "file")
    return "%s %s" % (verb, what)
