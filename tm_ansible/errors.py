"""The errors of this package. Each renders as one line that a user can act on."""


class TmAnsibleError(Exception):
    """Root of every error that this package raises on purpose."""


class ScriptError(TmAnsibleError):
    """A transfer script, or an argument in it, cannot be carried out as written."""


class SettingsError(TmAnsibleError):
    """An action map, rc file, settings file or location is missing or wrong."""


class EngineError(TmAnsibleError):
    """A run could not be started or supervised."""
