"""What every run of one configuration would work out again.

Parsed content, compiled templates, which plugins have no settings.
"""

import copy
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ansible import constants
from ansible.parsing.dataloader import DataLoader
from ansible.plugins import get_plugin_class
from ansible.plugins.loader import PluginLoader
from jinja2.environment import Environment

# Copies of a file beyond those that the run that warms up has read, and in all: it has many plays.
_SPARE, _MOST = 2, 4


class _State(NamedTuple):
    size: int
    mtime_ns: int
    inode: int


class _Parsed(NamedTuple):
    """Copies of a parsed file, each for one reader to own."""

    state: _State | None
    copies: list[Any]


class ContentCache:
    """Files of the content, parsed before a fork; each process takes the copies that it needs."""

    def __init__(self, root: Path) -> None:
        """Know where the content is.

        Args:
            root: directory whose YAML files are kept; symbolic links to it count.
        """
        self._root = os.path.realpath(root)
        self._read: Counter[Any] = Counter()
        self._sources: dict[Any, Any] = {}
        self._ready: dict[Any, _Parsed] = {}
        self._load: Callable[..., Any] = DataLoader.load_from_file

    def install(self) -> None:
        """Have Ansible ask here first."""
        cache = self

        def load_from_file(
            loader: DataLoader, file_name: str, *arguments: Any, **options: Any
        ) -> Any:
            return cache._give(loader, file_name, arguments, options)

        DataLoader.load_from_file = load_from_file

    def prepare(self) -> None:
        """Make a few more copies of each file than the run so far has read of it, within bounds."""
        for key, count in self._read.items():
            state = _state_of(key[0])
            number = min(count + _SPARE, _MOST)
            copies = [copy.deepcopy(self._sources[key]) for _ in range(number)]
            self._ready[key] = _Parsed(state, copies)
        self._read.clear()
        self._sources.clear()

    def _give(self, loader: Any, name: str, arguments: Any, options: Any) -> Any:
        key = (loader.path_dwim(name), arguments, tuple(sorted(options.items())))
        ready = self._ready.get(key)
        if ready and ready.copies and ready.state == _state_of(key[0]):
            return ready.copies.pop()
        if self._ready and key[0].startswith(tempfile.gettempdir() + os.sep):
            # The run's own play list and inventory are read once: nobody else has need of them.
            return self._load(loader, name, *arguments, **{**options, "unsafe": True})
        parsed = self._load(loader, name, *arguments, **options)
        if not self._ready and os.path.realpath(key[0]).startswith(self._root + os.sep):
            self._read[key] += 1
            if key not in self._sources:
                self._sources[key] = copy.deepcopy(parsed)
        return parsed


def _state_of(path: str) -> _State | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return _State(status.st_size, status.st_mtime_ns, status.st_ino)


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
