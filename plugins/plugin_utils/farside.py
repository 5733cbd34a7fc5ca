"""A program of ``module_utils`` as bytes that a Python on any host runs."""

import functools
import json
import os
import shlex
import zlib
from typing import Any, Dict

__metaclass__ = type

PACKAGE = "ansible_collections.one.tm.plugins.module_utils"
PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Between Ansible and the logic; a host has no Ansible.
ANSIBLE_ONLY = ("download.py", "module.py")

# Reads a length in decimal, a line end, and so many bytes of compressed program. One line
# without shell characters but the quotes around it, since login shells differ.
BOOTSTRAP = "import sys,zlib;i=sys.stdin.buffer;exec(zlib.decompress(i.read(int(i.readline()))))"

LOADER = """
import importlib.abc, importlib.util, json, sys, types

sources, module, arguments = json.loads(%(payload)r)
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
        arguments: of ``main``; anything that JSON can say.
    """
    payload = json.dumps([_sources(), module, arguments])
    text = LOADER % {"payload": payload, "package": PACKAGE}
    compressed = zlib.compress(text.encode("utf-8"), 1)
    return b"%d\n%s" % (len(compressed), compressed)


@functools.lru_cache(maxsize=None)
def _sources() -> Dict[str, str]:
    """Return the source of every module that can run on a host."""
    directory = os.path.join(PLUGINS, "module_utils")
    names = [name for name in os.listdir(directory) if name.endswith(".py")]
    return {
        PACKAGE + "." + name[:-3]: _read(os.path.join(directory, name))
        for name in names
        if name not in ANSIBLE_ONLY
    }


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
