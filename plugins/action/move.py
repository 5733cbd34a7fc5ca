"""Move an image or a directory of images on one host."""

from ansible_collections.one.tm.plugins.plugin_utils.step import (
    BANDWIDTH,
    FORMAT,
    PATH,
    PATHS,
    POLICY,
    Step,
)

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.move."""

    LOGIC = "move"
    ARGUMENTS = {
        "source": PATH,
        "destination": PATH,
        "into": {"type": "bool", "default": True},
        "source_dirs": PATHS,
        "format": dict(FORMAT, default="raw"),
        "bandwidth_mib": BANDWIDTH,
        **POLICY,
    }
