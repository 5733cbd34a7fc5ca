"""Link to an image on one host."""

from ansible_collections.one.tm.plugins.plugin_utils.step import (
    ATTRIBUTES,
    FORMAT,
    PATH,
    PATHS,
    POLICY,
    Step,
)

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.link."""

    LOGIC = "link"
    ARGUMENTS = {
        "source": PATH,
        "destination": PATH,
        "source_dirs": PATHS,
        "format": FORMAT,
        **ATTRIBUTES,
        **POLICY,
    }
