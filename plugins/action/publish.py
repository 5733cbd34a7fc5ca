"""Begin and end a download that a site's own task file does."""

from ansible_collections.one.tm.plugins.plugin_utils.step import (
    ATTRIBUTES,
    FORMAT,
    PATH,
    POLICY,
    Step,
)

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.publish."""

    LOGIC = "publish"
    ARGUMENTS = {
        "destination": PATH,
        "state": {
            "type": "str",
            "choices": ["prepared", "published", "discarded"],
            "required": True,
        },
        "format": FORMAT,
        **ATTRIBUTES,
        **POLICY,
    }
