"""Run one command, log it, and fail with its error."""

from ansible_collections.one.tm.plugins.plugin_utils.step import Step

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.run."""

    LOGIC = "running"
    ARGUMENTS = {
        "argv": {"type": "list", "elements": "str", "required": True},
        "timeout": {"type": "float", "default": 0},
        "chdir": {"type": "str"},
        "environment": {"type": "dict", "default": {}},
        "creates": {"type": "str"},
    }
