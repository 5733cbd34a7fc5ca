"""Carry out actions of the transfer manager on one host, one after the other, as one task."""

import json
import time
from typing import Any, Dict, List, Mapping, Optional

from ansible.plugins.action import ActionBase
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import feeding, plan
from ansible_collections.one.tm.plugins.plugin_utils.ways import Ways

__metaclass__ = type

ARGUMENTS = {
    "actions": {"type": "list", "elements": "dict", "required": True},
    "ways": {"type": "dict", "required": True},
    "ways_variable": {"type": "str"},
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
        """Carry out the actions, and those that follow; the first that fails ends them."""
        result = super(ActionModule, self).run(tmp, task_vars)
        _specification, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        self._feeder = feeding.Feeder()
        # Ansible's time limit of a task would be one for all that follows, and the time between.
        if options["ways_variable"] and not self._task.timeout:
            self._feeder = feeding.feeder()
        self._one = self._task.copy()
        if len(options["actions"]) == 1 and not self._feeder.token:
            result.update(self._carry_out(options["actions"][0], options["ways"], variables))
            return result
        done = self._carry_out_all(options["actions"], options["ways"], variables)
        if self._feeder.token and not done.get("failed"):
            done = self._go_on(options["ways_variable"], variables)
        return dict(result, **done)

    def _go_on(self, ways_variable: str, variables: Dict[str, Any]) -> Dict[str, Any]:
        """Carry out further actions, as long as there are any and none fails."""
        ways = Ways(self._templar, variables[ways_variable])
        while True:
            self._tell({"ended": self._feeder.token})
            given = self._feeder.next()
            if given is None:
                return {"changed": True}
            self._tell({"begun": 0})
            # What is given is data; what the site's variables say may depend on it.
            given = wrap_var(given)
            now = dict(variables, **given)
            now["vars"] = dict(now)
            ways.renew(now, given)
            done = self._carry_out_all(given["tm_actions"], ways, now)
            if done.get("failed"):
                return done

    def _carry_out_all(
        self, actions: List[Dict[str, Any]], ways: Mapping[str, Any], variables: Dict[str, Any]
    ) -> Dict[str, Any]:
        """Carry out one after the other, and tell where the next begins."""
        changed = False
        for number, words in enumerate(actions):
            if number:
                self._tell({"begun": number})
            began = time.monotonic()
            done = self._carry_out(words, ways, variables)
            if done.get("failed"):
                return done
            told = {key: done[key] for key in TOLD if key in done}
            self._tell({"result": told, "seconds": time.monotonic() - began})
            changed = changed or bool(done.get("changed"))
        return {"changed": changed}

    def _tell(self, message: Dict[str, Any]) -> None:
        """Tell the transfer manager's report of one action of several."""
        self._feeder.tell("tm_action: " + json.dumps(message))

    def _carry_out(
        self, words: Dict[str, Any], ways: Mapping[str, Any], variables: Dict[str, Any]
    ) -> Dict[str, Any]:
        try:
            here, hosts = variables["inventory_hostname"], variables["hostvars"]
            planned = plan.plan(words, ways, here, hosts)
        except TmError as error:
            return {"failed": True, "msg": error.message}
        self._one.args = planned.arguments
        action = self._shared_loader_obj.action_loader.get(
            planned.plugin,
            task=self._one,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return dict(action.run(task_vars=variables))
