"""Fetch an image from a URL."""

from ansible_collections.one.tm.plugins.module_utils.webrules import ARGUMENTS as RULES
from ansible_collections.one.tm.plugins.plugin_utils.step import (
    ATTRIBUTES,
    BANDWIDTH,
    FORMAT,
    PATH,
    POLICY,
    Step,
)

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.download."""

    LOGIC = "download"
    ARGUMENTS = {
        "url": PATH,
        "destination": PATH,
        "timeout": {"type": "int", "default": 60},
        "format": FORMAT,
        "bandwidth_mib": BANDWIDTH,
        **ATTRIBUTES,
        **POLICY,
        **RULES,
    }
