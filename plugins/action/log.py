"""Show lines of the VM's log at once."""

from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.one.tm.plugins.module_utils.commands import printable

__metaclass__ = type

DISPLAY = Display()


class ActionModule(ActionBase):
    """The action one.tm.log."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None
    ) -> Dict[str, Any]:
        """Show the message and return it."""
        result = super(ActionModule, self).run(tmp, task_vars)
        _specification, options = self.validate_argument_spec(
            argument_spec={
                # Not a list: Ansible would split a text at its commas.
                "message": {"type": "raw", "required": True},
                "severity": {"type": "str", "choices": ["I", "W"], "default": "I"},
            }
        )
        message = options["message"]
        texts = message if isinstance(message, list) else [message]
        lines = [line for text in texts for line in str(text).splitlines()]
        for line in lines:
            DISPLAY.display("tm_log %s: %s" % (options["severity"], printable(line)))
        result.update(changed=False, message=lines)
        return result
