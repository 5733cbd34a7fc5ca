"""One command of a playbook, logged, and failing with its own error."""

import os
import shlex
from typing import Any, Dict, List

from ansible_collections.one.tm.plugins.module_utils.commands import (
    Command,
    ErrorText,
    run_lines,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.paths import without_secrets

__metaclass__ = type

MOST_LINES = 1000


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Run a command.

    Args:
        params: of module one.tm.run.
        check_mode: whether only to tell what would be run.

    Returns:
        The result of the module.

    Raises:
        TmError: the command failed; the reason is its last line on standard error.
    """
    argv = params["argv"]
    if not argv or not argv[0]:
        raise TmError("argv names no program")
    command = " ".join(shlex.quote(without_secrets(word)) for word in argv)
    if params["creates"] and os.path.lexists(params["creates"]):
        sentence = "%s exists; not executed" % params["creates"]
        return {"changed": False, "tm_log": [sentence]}
    if check_mode:
        return {"changed": True, "tm_log": ['would execute "%s"' % command]}
    lines = _execute(argv, command, params)
    sentence = 'Executed "%s"' % command
    return {"changed": True, "rc": 0, "stdout_lines": lines, "tm_log": [sentence]}


def _execute(argv: List[str], command: str, params: Dict[str, Any]) -> List[str]:
    lines = []  # type: List[str]
    errors = ErrorText()

    def keep(line: str) -> None:
        if len(lines) < MOST_LINES:
            lines.append(line)

    environment = dict(os.environ)
    environment.update({str(name): str(text) for name, text in params["environment"].items()})
    what = Command(argv, params["timeout"], params["chdir"], environment)
    ending = run_lines(what, keep, errors.add)
    description = ending.describe('"%s"' % command, params["timeout"])
    if ending.status is None:
        raise TmError(description, errors.rest)
    if ending.status != 0:
        raise TmError(errors.reason(description), [description, *errors.rest])
    return lines
