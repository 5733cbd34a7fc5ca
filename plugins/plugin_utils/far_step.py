"""A step on another host, in a session there, whose messages are heard as they come."""

import contextlib
from typing import Any, Callable, Dict, Iterator

from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.plugin_utils import answers, sessions
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far
from ansible_collections.one.tm.plugins.plugin_utils.lines import Lines
from ansible_collections.one.tm.plugins.plugin_utils.side import Side

__metaclass__ = type

# Longer than any step; ssh itself notices a host that is gone.
FOREVER_SECONDS = 2e6


def take(
    far: Far,
    tell: Callable[[Dict[str, Any]], None],
    logic: str,
    params: Dict[str, Any],
    check_mode: bool,
) -> Dict[str, Any]:
    """Take a step on a host; what does it there ends when this process does.

    Args:
        far: the host, connected.
        tell: gets every message of progress.
        logic: module of ``module_utils``, see ``step.perform``.
        params: see ``step.perform``.
        check_mode: see ``step.perform``.

    Returns:
        The step's result.

    Raises:
        TmError: the program, or the connection to it, ended without a result.
    """
    session = sessions.of(far)
    is_done = False
    try:
        session.begin("step", logic, params, check_mode)
        for message in _messages(session.side):
            if "result" in message:
                is_done = True
                return dict(message["result"])
            if "progress" in message:
                tell(message)
        raise session.side.lost("before the step was done")
    finally:
        if not is_done:
            session.end()


def _messages(side: Side) -> Iterator[Dict[str, Any]]:
    """Yield messages until the program ends."""
    lines = Lines(side.process.stdout.fileno(), FOREVER_SECONDS)
    with contextlib.suppress(frames.StreamEndError):
        lines.skip_noise()
        for line in lines:
            yield answers.parse(line, side.host.name)
