"""Remove an image or a directory of images."""

from ansible_collections.one.tm.plugins.plugin_utils.step import PATH, POLICY, Step

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.remove."""

    LOGIC = "remove"
    ARGUMENTS = {
        "path": PATH,
        "proven": {"type": "str"},
        **POLICY,
    }
