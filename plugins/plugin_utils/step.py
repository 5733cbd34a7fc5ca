"""The base of actions that take one step on the task's host."""

import json
from typing import Any, ClassVar, Dict, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.one.tm.plugins.module_utils import frames, lifeline, step
from ansible_collections.one.tm.plugins.module_utils.attributes import ARGUMENTS as ATTRIBUTES
from ansible_collections.one.tm.plugins.plugin_utils import connections, farside

__metaclass__ = type

__all__ = ["ATTRIBUTES", "PATH", "PATHS", "REQUIRED_PATHS", "Step"]

PATHS = {"type": "list", "elements": "str", "default": []}
REQUIRED_PATHS = {"type": "list", "elements": "str", "required": True}
PATH = {"type": "str", "required": True}


class Step(ActionBase):
    """Takes a step where the task runs: in this very process on the front-end, else over there.

    A module would be packed, sent and started anew, which takes longer than most steps. Over a
    connection the logic goes as one program on standard input, in one round trip.

    Attributes:
        LOGIC: module of ``module_utils`` with the function ``run(params, check_mode)``.
        ARGUMENTS: as AnsibleModule takes them.
        RULES: ``mutually_exclusive`` and the like.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True

    LOGIC: ClassVar[str]
    ARGUMENTS: ClassVar[Dict[str, Any]]
    RULES: ClassVar[Dict[str, Any]] = {}

    def run(
        self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None
    ) -> Dict[str, Any]:
        """Take the step and return the task's result."""
        result = super(Step, self).run(tmp, task_vars)
        _validation, params = self.validate_argument_spec(self.ARGUMENTS, **self.RULES)
        variables = task_vars or {}
        if connections.is_here(self):
            with lifeline.tidy_end():
                done = step.perform(step.load(self.LOGIC), params, self._task.check_mode)
        else:
            done = self._over_there(params, variables)
        result.update(done)
        return result

    def _over_there(self, params: Dict[str, Any], variables: Dict[str, Any]) -> Dict[str, Any]:
        python = connections.python_of(self, variables)
        command = " ".join([self._compute_environment_string(), farside.command(python)]).strip()
        program = farside.program("step", self.LOGIC, params, self._task.check_mode)
        ended = self._low_level_execute_command(command, in_data=program)
        _noise, magic, message = ended["stdout"].rpartition(frames.MAGIC.decode("ascii"))
        if magic:
            return dict(json.loads(message.splitlines()[0]))
        return {
            "failed": True,
            "msg": "the program on the host ended with code %d" % ended["rc"],
            "module_stderr": ended["stderr"],
            "module_stdout": ended["stdout"],
        }
