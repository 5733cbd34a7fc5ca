"""The base of actions that take one step on the task's host."""

from typing import Any, Callable, ClassVar, Dict, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.one.tm.plugins.module_utils import frames, lifeline, step
from ansible_collections.one.tm.plugins.module_utils.attributes import ARGUMENTS as ATTRIBUTES
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.formats import ARGUMENT as FORMAT
from ansible_collections.one.tm.plugins.module_utils.policy import ARGUMENTS as POLICY
from ansible_collections.one.tm.plugins.plugin_utils import (
    answers,
    connections,
    far_step,
    farside,
    progress,
    sessions,
)

__metaclass__ = type

__all__ = ["ATTRIBUTES", "BANDWIDTH", "FORMAT", "PATH", "PATHS", "POLICY", "Step"]

Tell = Callable[[Dict[str, Any]], None]

PATHS = {"type": "list", "elements": "str", "default": []}
PATH = {"type": "str", "required": True}
BANDWIDTH = {"type": "int", "default": 0}


class Step(ActionBase):
    """Takes a step where the task runs: in this very process on the front-end, else over there.

    A module would be packed, sent and started anew, which takes longer than most steps. Over a
    connection the logic goes as one program on standard input, in one round trip, and its progress
    comes back as it happens.

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
        shown = progress.of_task(self.LOGIC, variables)
        result.update(self._take(params, variables, lambda told: shown.update(**told["progress"])))
        return result

    def _take(
        self, params: Dict[str, Any], variables: Dict[str, Any], tell: Tell
    ) -> Dict[str, Any]:
        if connections.is_here(self):
            with lifeline.tidy_end():
                return step.perform(step.load(self.LOGIC), params, self._task.check_mode, tell)
        if connections.can_stream(self):
            return self._streamed(params, variables, tell)
        return self._in_one_answer(params, variables)

    def _streamed(
        self, params: Dict[str, Any], variables: Dict[str, Any], tell: Tell
    ) -> Dict[str, Any]:
        name = str(self._task.delegate_to or variables["inventory_hostname"])
        far = connections.of_play(self, variables, name)
        sessions.connect(far)
        try:
            return far_step.take(far, tell, self.LOGIC, params, self._task.check_mode)
        except TmError as error:
            return {"failed": True, "msg": error.message, "tm_detail": error.detail}

    def _in_one_answer(self, params: Dict[str, Any], variables: Dict[str, Any]) -> Dict[str, Any]:
        """Take the step where open pipes are not to be had; its progress is not heard."""
        python = connections.python_of(self, variables)
        command = " ".join([self._compute_environment_string(), farside.command(python)]).strip()
        program = farside.program("step", self.LOGIC, params, self._task.check_mode)
        ended = self._low_level_execute_command(command, in_data=program)
        _noise, magic, messages = ended["stdout"].rpartition(frames.MAGIC.decode("ascii"))
        if magic and messages.strip():
            last = messages.splitlines()[-1].encode("utf-8", "surrogateescape")
            return self._result(last, str(variables["inventory_hostname"]))
        return {
            "failed": True,
            "msg": "the program on the host ended with code %d" % ended["rc"],
            "module_stderr": ended["stderr"],
            "module_stdout": ended["stdout"],
        }

    def _result(self, line: bytes, host: str) -> Dict[str, Any]:
        """Return the result that a program on a host has told."""
        try:
            return dict(answers.parse(line, host)["result"])
        except (KeyError, TmError) as error:
            return {"failed": True, "msg": str(error), "tm_detail": getattr(error, "detail", [])}
