"""Carry out actions of the transfer manager on one host, one after the other, as one task."""

import json
import time
from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import plan

__metaclass__ = type

DISPLAY = Display()
ARGUMENTS = {
    "actions": {"type": "list", "elements": "dict", "required": True},
    "ways": {"type": "dict", "required": True},
}
# What the transfer manager's log tells of the end of an action.
TOLD = ("changed", "copy_seconds", "tm_log")


class ActionModule(ActionBase):
    """The action one.tm.actions."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(
        self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None
    ) -> Dict[str, Any]:
        """Carry out the actions; the first that fails ends them."""
        result = super(ActionModule, self).run(tmp, task_vars)
        _specification, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        if len(options["actions"]) == 1:
            result.update(self._carry_out(options["actions"][0], options["ways"], variables))
            return result
        changed = False
        for number, words in enumerate(options["actions"]):
            if number:
                _tell({"begun": number})
            began = time.monotonic()
            done = self._carry_out(words, options["ways"], variables)
            if done.get("failed"):
                return dict(result, **done)
            told = {key: done[key] for key in TOLD if key in done}
            _tell({"result": told, "seconds": time.monotonic() - began})
            changed = changed or bool(done.get("changed"))
        return dict(result, changed=changed)

    def _carry_out(
        self, words: Dict[str, Any], ways: Dict[str, Any], variables: Dict[str, Any]
    ) -> Dict[str, Any]:
        try:
            here, hosts = variables["inventory_hostname"], variables["hostvars"]
            planned = plan.plan(words, ways, here, hosts)
        except TmError as error:
            return {"failed": True, "msg": error.message}
        task = self._task.copy()
        task.args = planned.arguments
        action = self._shared_loader_obj.action_loader.get(
            planned.plugin,
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return dict(action.run(task_vars=variables))


def _tell(message: Dict[str, Any]) -> None:
    """Tell the transfer manager's report of one action of several."""
    DISPLAY.display("tm_action: " + json.dumps(message))
