"""What every run of one configuration would work out again.

Parsed content, compiled templates, which plugins have no settings.
"""

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible import constants
from ansible.parsing.dataloader import DataLoader
from ansible.plugins import get_plugin_class
from ansible.plugins.loader import PluginLoader
from jinja2.environment import Environment


class _State(NamedTuple):
    size: int
    mtime_ns: int
    inode: int


class _Parsed(NamedTuple):
    """A parsed file as it was on disk; readers get copies."""

    state: _State | None
    value: Any


class ContentCache:
    """Files of the content, each parsed once: before a fork, if the run that warms up reads it."""

    def __init__(self, root: Path) -> None:
        """Know where the content is.

        Args:
            root: directory whose YAML files are kept; symbolic links to it count.
        """
        self._root = os.path.realpath(root) + os.sep
        self._kept: dict[Any, _Parsed] = {}
        self._load: Callable[..., Any] = DataLoader.load_from_file

    def install(self) -> None:
        """Have Ansible ask here first."""
        cache = self

        def load_from_file(
            loader: DataLoader, file_name: str, *arguments: Any, **options: Any
        ) -> Any:
            return cache._give(loader, file_name, arguments, options)

        DataLoader.load_from_file = load_from_file

    def _give(self, loader: Any, name: str, arguments: Any, options: Any) -> Any:
        path = loader.path_dwim(name)
        key = (path, arguments, tuple(sorted(options.items())))
        kept = self._kept.get(key)
        if kept and kept.state == _state_of(path):
            return copy.deepcopy(kept.value)
        as_it_is = {**options, "unsafe": True}
        if os.path.realpath(path).startswith(self._root):
            state = _state_of(path)
            self._kept[key] = _Parsed(state, self._load(loader, name, *arguments, **as_it_is))
            return copy.deepcopy(self._kept[key].value)
        its_own = os.environ.get("TMPDIR")
        if its_own and path.startswith(its_own + os.sep):
            # The run's play list and inventory are read once: nobody else has need of them.
            options = as_it_is
        return self._load(loader, name, *arguments, **options)


def _state_of(path: str) -> _State | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return _State(status.st_size, status.st_mtime_ns, status.st_ino)


def share_texts() -> None:
    """Have copies of what was parsed share its texts and numbers, which never change.

    A copy of each with all that Ansible notes about it takes twenty times as long as the rest.
    """
    for kind in _unchanging():
        kind.__deepcopy__ = lambda value, _memo: value


def _unchanging() -> Sequence[Any]:
    """Give the types; which there are depends on the version of Ansible."""
    try:
        from ansible.module_utils._internal import _datatag as tagged  # noqa: PLC0415 - from 2.19
    except ImportError:
        from ansible.parsing.yaml import objects  # noqa: PLC0415

        return [objects.AnsibleUnicode]
    scalars = [tagged._AnsibleTaggedStr, tagged._AnsibleTaggedInt, tagged._AnsibleTaggedFloat]
    return [*scalars, tagged._AnsibleTagsMapping]


def remember_settings() -> None:
    """Read the documentation of a plugin that describes no setting once, too."""
    read = PluginLoader._load_config_defs
    without: set[tuple[str, str, str]] = set()

    def read_once(loader: PluginLoader, name: str, module: Any, path: str) -> None:
        # One of the same name may lie elsewhere, and have settings.
        key = (loader.class_name, name, path)
        if key in without:
            return
        read(loader, name, module, path)
        kind = get_plugin_class(loader.class_name) if loader.class_name else ""
        if not constants.config.has_configuration_definition(kind, name):
            without.add(key)

    PluginLoader._load_config_defs = read_once


def remember_templates() -> None:
    """Compile each template once: the same text in the same environment gives the same code."""
    compiled: dict[Any, Any] = {}
    compile_ = Environment.compile

    def compile_once(environment: Any, source: Any, *arguments: Any, **options: Any) -> Any:
        # Ansible may double a backslash, or not: that is not in the text.
        if not isinstance(source, str) or "\\" in source:
            return compile_(environment, source, *arguments, **options)
        key = (str(source), arguments, tuple(options.items()), _ways(environment))
        if key not in compiled:
            compiled[key] = compile_(environment, source, *arguments, **options)
        return compiled[key]

    Environment.compile = compile_once  # type: ignore[method-assign, assignment]


def _ways(environment: Any) -> Any:
    """Give what else the code of a template depends on."""
    names = (
        *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
        *("comment_start_string", "comment_end_string", "line_statement_prefix"),
        *("line_comment_prefix", "trim_blocks", "lstrip_blocks", "newline_sequence"),
        *("keep_trailing_newline", "optimized", "finalize", "autoescape", "is_async"),
    )
    values = [getattr(environment, name) for name in names]
    return (type(environment), tuple(environment.extensions), *values)
