"""Make a disk image."""

from ansible_collections.one.tm.plugins.plugin_utils.step import (
    ATTRIBUTES,
    PATH,
    PATHS,
    POLICY,
    Step,
)

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.mkimage."""

    LOGIC = "mkimage"
    ARGUMENTS = {
        "destination": PATH,
        "filesystem": {"type": "str", "default": "ext4"},
        "size_mib": {"type": "int"},
        "source": {"type": "str"},
        "source_name": {"type": "str"},
        "source_dirs": PATHS,
        "slack_percent": {"type": "int", "default": 20},
        "uuid": {"type": "str"},
        **ATTRIBUTES,
        **POLICY,
    }
    RULES = {
        "mutually_exclusive": [("size_mib", "source")],
        "required_one_of": [("size_mib", "source")],
    }
