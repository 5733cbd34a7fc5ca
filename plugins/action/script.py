"""Run an action script on the controller by the guide's rules, its lines shown as they come."""

import os
from typing import Any, Dict, List, Optional

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.one.tm.plugins.module_utils.commands import (
    Command,
    ErrorText,
    run_lines,
)
from ansible_collections.one.tm.plugins.module_utils.paths import without_secrets

__metaclass__ = type

DISPLAY = Display()
MOST_LINES = 10000


class Shown:
    """Shows lines of the VM's log, up to a number."""

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self.count = 0

    def show(self, line: str) -> None:
        """Show one line at once."""
        self.count += 1
        if line and self.count <= MOST_LINES:
            DISPLAY.display("tm_log: " + line)

    def close(self) -> None:
        """Say how many lines were left out."""
        if self.count > MOST_LINES:
            DISPLAY.display("tm_log W: %d more lines left out" % (self.count - MOST_LINES))


class ActionModule(ActionBase):
    """The action one.tm.script."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None
    ) -> Dict[str, Any]:
        """Run the script and return the task's result."""
        result = super(ActionModule, self).run(tmp, task_vars)
        _specification, options = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "arguments": {"type": "list", "elements": "str", "default": []},
                "timeout": {"type": "float", "default": 0},
            }
        )
        path = str(options["path"])
        argv = [path, *(str(word) for word in options["arguments"])]
        name = os.path.basename(path)
        refusal = _refusal(path)
        if refusal:
            result.update(failed=True, msg=refusal)
        elif self._task.check_mode:
            words = map(without_secrets, [name, *argv[1:]])
            result.update(changed=True, tm_log=["would run " + " ".join(words)])
        else:
            result.update(_run(name, argv, options["timeout"], self._environment()))
        return result

    def _environment(self) -> Dict[str, str]:
        """Return the run's environment with that of the task's ``environment`` keyword."""
        environment = dict(os.environ)
        for part in self._task.environment or []:
            environment.update(
                {str(name): str(value) for name, value in self._templar.template(part).items()}
            )
        return environment


def _refusal(path: str) -> str:
    if not os.path.isabs(path):
        return "%s: the path of an action script must be absolute" % path
    if not os.path.isfile(path):
        return "%s: no such action script" % path
    if not os.access(path, os.X_OK):
        return "%s is not executable; chmod +x it" % path
    return ""


def _run(name: str, argv: List[str], seconds: float, environment: Dict[str, str]) -> Dict[str, Any]:
    shown, errors = Shown(), ErrorText()
    try:
        command = Command(argv, seconds, environment=environment)
        ending = run_lines(command, shown.show, errors.add)
    except OSError as error:
        return {"failed": True, "msg": "%s: %s" % (argv[0], error.strerror)}
    shown.close()
    sentence = ending.describe(name, seconds)
    result = {"changed": True, "rc": ending.status, "tm_detail": errors.rest}
    if ending.status == 0:
        result["tm_log"] = [sentence]
    elif ending.status is None:
        result.update(failed=True, msg=sentence)
    else:
        result.update(failed=True, msg=errors.reason(sentence))
    return result
