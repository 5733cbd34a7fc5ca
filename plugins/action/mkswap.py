"""Make a swap image."""

from ansible_collections.one.tm.plugins.plugin_utils.step import ATTRIBUTES, PATH, POLICY, Step

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.mkswap."""

    LOGIC = "mkswap"
    ARGUMENTS = {
        "destination": PATH,
        "size_mib": {"type": "int", "required": True},
        **ATTRIBUTES,
        **POLICY,
    }
