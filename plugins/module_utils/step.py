"""One step of an action on this host: its result, or the reason why not, as a task's result."""

import contextlib
import importlib
import json
import os
from typing import Any, Callable, Dict, Optional

from ansible_collections.one.tm.plugins.module_utils import frames, lifeline, meter
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, sentence

__metaclass__ = type

PACKAGE = __name__.rpartition(".")[0]

Logic = Callable[[Dict[str, Any], bool], Dict[str, Any]]


def load(name: str) -> Logic:
    """Return the function ``run(params, check_mode)`` of a module of this package."""
    return importlib.import_module(PACKAGE + "." + name).run  # type: ignore[no-any-return]


def perform(
    logic: Logic,
    params: Dict[str, Any],
    check_mode: bool,
    tell: Optional[meter.Tell] = None,
) -> Dict[str, Any]:
    """Take a step.

    Args:
        logic: takes the parameters and whether nothing may be changed; returns the result.
        params: what it takes.
        check_mode: only tell what would be done.
        tell: gets messages of progress.

    Returns:
        The task's result; a failed one for what is known to go wrong.
    """
    try:
        with meter.heard_by(tell or _nobody):
            result = logic(params, check_mode)
    except TmError as error:
        return {"failed": True, "msg": error.message, "tm_detail": list(error.detail)}
    except OSError as error:
        return {"failed": True, "msg": sentence(error), "tm_detail": [repr(error)]}
    return dict(result)


def _nobody(_message: Dict[str, Any]) -> None:
    """Tell nobody."""


def main(logic: str, params: Dict[str, Any], check_mode: bool) -> None:
    """Perform a step as a program of its own; write progress and its result to standard output.

    Args:
        logic: module of this package.
        params: see ``perform``.
        check_mode: see ``perform``.
    """
    lifeline.start()
    frames.write_all(1, b"\n" + frames.MAGIC)
    _tell({"result": perform(load(logic), params, check_mode, _tell)})
    # The lifeline's thread must not keep the interpreter from its end.
    os._exit(0)


def _tell(message: Dict[str, Any]) -> None:
    """Write a message as a line; a reader that is gone is the lifeline's business."""
    with contextlib.suppress(BrokenPipeError):
        frames.write_all(1, json.dumps(message).encode("ascii") + b"\n")
