"""A program on a host that takes one piece of work after the other, each in a process of its own.

A request is the session's key, a blank, a length in decimal, a line end, and so many bytes of
compressed JSON: the sources of modules that were not sent before, the module whose ``main`` is to
be called, and its arguments. What follows on standard input is for that call, until it ends. A call
that fails ends the session: nobody can tell what of its input is left. The key keeps anything in an
image, or from another host, from being taken for a request.
"""

import importlib
import json
import os
import sys
import zlib
from typing import Any, Dict, List

from ansible_collections.one.tm.plugins.module_utils import frames

__metaclass__ = type

PACKAGE = __name__.rpartition(".")[0]
REQUEST_BYTES = 1 << 24
LINE_BYTES = 64


def main(sources: Dict[str, str], key: str) -> None:
    """Serve until standard input ends, or a call fails.

    The magic line says that the first request may come: before, it could be read ahead by what
    reads this program.

    Args:
        sources: of the modules that can be imported; requests add to it.
        key: with which each request begins; nobody else knows it.
    """
    frames.write_all(1, b"\n" + frames.MAGIC)
    while True:
        line = _read_line()
        if not line:
            os._exit(0)
        said, _blank, length = line.rstrip(b"\n").partition(b" ")
        if said != key.encode("ascii") or not length.isdigit() or int(length) > REQUEST_BYTES:
            os._exit(1)
        added, module, arguments = json.loads(zlib.decompress(_read(int(length))).decode("utf-8"))
        sources.update(added)
        status = _call(module, arguments)
        if status:
            os._exit(1)


def _read_line() -> bytes:
    """Read a line, and nothing behind it: that is for the call."""
    line = b""
    while not line.endswith(b"\n") and len(line) < LINE_BYTES:
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _read(length: int) -> bytes:
    parts = []  # type: List[bytes]
    while length:
        part = os.read(0, length)
        if not part:
            os._exit(0)
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _call(module: str, arguments: List[Any]) -> int:
    """Call ``main`` of a module in a fork, and return how that ended."""
    # Compiled once, for all calls to come.
    main_ = importlib.import_module(PACKAGE + "." + module).main
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            main_(*arguments)
            status = 0
        except Exception:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]
