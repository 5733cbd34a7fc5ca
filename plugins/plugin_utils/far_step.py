"""A step on another host: one program over open pipes, whose messages are heard as they come."""

import contextlib
import json
import subprocess
from typing import Any, Callable, Dict, Iterator

from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far
from ansible_collections.one.tm.plugins.plugin_utils.lines import Lines
from ansible_collections.one.tm.plugins.plugin_utils.side import Side

__metaclass__ = type

# Longer than any step; ssh itself notices a host that is gone.
FOREVER_SECONDS = 2e6


def take(far: Far, program: bytes, tell: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """Run the program of a step on a host; the program ends when this process does.

    Args:
        far: the host, connected.
        program: from ``farside.program``.
        tell: gets every message but the result.

    Returns:
        The step's result.

    Raises:
        TmError: the program, or the connection to it, ended without a result.
    """
    side = Side(far, subprocess.PIPE, subprocess.PIPE)
    try:
        with contextlib.suppress(BrokenPipeError):
            frames.write_all(side.process.stdin.fileno(), program)
        for message in _messages(side):
            if "result" in message:
                return dict(message["result"])
            tell(message)
        raise side.lost("before the step was done")
    finally:
        side.end()


def _messages(side: Side) -> Iterator[Dict[str, Any]]:
    """Yield messages until the program ends."""
    lines = Lines(side.process.stdout.fileno(), FOREVER_SECONDS)
    with contextlib.suppress(frames.StreamEndError):
        lines.skip_noise()
        for line in lines:
            yield json.loads(line.decode("ascii"))
