"""Clone an image on one host."""

from ansible_collections.one.tm.plugins.plugin_utils.step import (
    ATTRIBUTES,
    BANDWIDTH,
    FORMAT,
    PATH,
    PATHS,
    POLICY,
    Step,
)

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.clone."""

    LOGIC = "clone"
    ARGUMENTS = {
        "source": PATH,
        "destination": PATH,
        "source_dirs": PATHS,
        "format": FORMAT,
        "bandwidth_mib": BANDWIDTH,
        **ATTRIBUTES,
        **POLICY,
    }
