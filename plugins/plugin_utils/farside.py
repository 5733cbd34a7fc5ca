"""A program of ``module_utils`` as bytes that a Python on any host runs."""

import ast
import functools
import json
import os
import re
import shlex
import zlib
from typing import Any, Dict, List, Sequence, Set

__metaclass__ = type

PACKAGE = "ansible_collections.one.tm.plugins.module_utils"
PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IMPORT = re.compile(
    r"^\s*from %s(?:\.(\w+))? import (\([^)]*\)|.*)$" % re.escape(PACKAGE), re.MULTILINE
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)

# Reads a length in decimal, a line end, and so many bytes of compressed program. One line
# without shell characters but the quotes around it, since login shells differ.
BOOTSTRAP = "import sys,zlib;i=sys.stdin.buffer;exec(zlib.decompress(i.read(int(i.readline()))))"

LOADER = """
import importlib.abc, importlib.util, json, sys, types

sources, module, arguments = json.loads(%(payload)r)
arguments = [sources, *arguments] if module == "session" else arguments
package = %(package)r

class Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(sources[module.__name__], module.__name__, "exec"), module.__dict__)

parts = package.split(".")
for length in range(1, len(parts) + 1):
    parent = types.ModuleType(".".join(parts[:length]))
    parent.__path__ = []
    sys.modules[parent.__name__] = parent
sys.meta_path.insert(0, Loader())
importlib.import_module(package + "." + module).main(*arguments)
"""


def command(python: str) -> str:
    """Return the shell command that runs what ``program`` returns from its standard input.

    Args:
        python: path or name of Python 3.6 or newer on that host, perhaps with arguments.
    """
    words = [*shlex.split(python), "-I", "-S", "-c", BOOTSTRAP]
    return " ".join(shlex.quote(word) for word in words)


def program(module: str, *arguments: Any) -> bytes:
    """Return what to write first to the standard input of ``command``.

    Args:
        module: of ``module_utils``; its function ``main`` is called.
        arguments: of ``main``; anything that JSON can say. A module that the first of them names
            goes along.
    """
    return _loading(sources(module, arguments), module, arguments)


def session(key: str) -> bytes:
    """Return a program as ``program`` does, which then takes what ``request`` returns.

    Args:
        key: a secret, in ASCII and without blanks.
    """
    return _loading(sources("session", ()), "session", (key,))


def request(key: str, new: Dict[str, str], module: str, arguments: Sequence[Any]) -> bytes:
    """Return what a session (``module_utils.session``) takes to do what ``program`` would.

    Args:
        key: of the session.
        new: those of the ``sources`` that it has not got yet.
        module: as for ``program``.
        arguments: as for ``program``.
    """
    packed = _packed(json.dumps([new, module, arguments]))
    return key.encode("ascii") + b" " + packed


def sources(module: str, arguments: Sequence[Any]) -> Dict[str, str]:
    """Return the sources of what a program needs, by the names of modules.

    Args:
        module: as for ``program``.
        arguments: as for ``program``.
    """
    found = dict(_needed(module))
    for name in arguments[:1]:
        found.update(_needed(name) if isinstance(name, str) else {})
    return found


def _loading(texts: Dict[str, str], module: str, arguments: Sequence[Any]) -> bytes:
    payload = json.dumps([texts, module, arguments])
    # Within 64 KiB it fits into a pipe before anybody reads.
    return _packed(LOADER % {"payload": payload, "package": PACKAGE}, level=6)


def _packed(text: str, level: int = 1) -> bytes:
    compressed = zlib.compress(text.encode("utf-8"), level)
    return b"%d\n%s" % (len(compressed), compressed)


@functools.lru_cache(maxsize=None)
def _needed(module: str) -> Dict[str, str]:
    """Return the sources of a module and of all that it imports from this package, if it is one."""
    found: Dict[str, str] = {}
    wanted: Set[str] = {module}
    while wanted:
        name = wanted.pop()
        source = _bare(_source(name))
        if source and PACKAGE + "." + name not in found:
            found[PACKAGE + "." + name] = source
            wanted.update(_imports(source))
    return found


def _bare(source: str) -> str:
    """Return a source without its docstrings, a third of it, with all else on the same lines."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            said = node.body[0]
            count = (said.end_lineno or said.lineno) - said.lineno
            empty = " " * said.col_offset + '""\n'
            lines[said.lineno - 1 : said.end_lineno] = [empty, *["\n"] * count]
    return "".join(lines)


def _imports(source: str) -> List[str]:
    """Return the names that may be modules of this package which a source imports."""
    names: List[str] = []
    for module, imported in IMPORT.findall(source):
        names += [module] if module else re.findall(r"\w+", imported)
    return names


def _source(name: str) -> str:
    """Return the source of a module; nothing if there is none of that name."""
    try:
        with open(os.path.join(PLUGINS, "module_utils", name + ".py"), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
