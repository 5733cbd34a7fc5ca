"""Tell the identity of an image or of a directory's image."""

from ansible_collections.one.tm.plugins.plugin_utils.step import PATH, PATHS, POLICY, Step

__metaclass__ = type


class ActionModule(Step):
    """The action one.tm.survey."""

    LOGIC = "survey"
    ARGUMENTS = {
        "path": PATH,
        "destination": {"type": "str"},
        "filesystem": {"type": "str", "default": "ext4"},
        "source_dirs": PATHS,
        **POLICY,
    }
