"""The program on either host of a transfer; it comes over standard input and leaves nothing."""

import json
import os
import sys
import threading
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils import (
    frames,
    identity,
    lifeline,
    receiver,
    sender,
)

__metaclass__ = type

ANSWER_BYTES = 65536


def main(role: str, config: Dict[str, Any]) -> None:
    """Send or receive.

    Both sides end when nobody reads their output any more. The sender also ends when its
    standard input does, for then the controller is gone.

    Args:
        role: ``send`` or ``receive``.
        config: see ``sender.Sender`` and ``receiver.Receiver``; ``here`` of a receiver: what its
            host has to say of itself.
    """
    os.umask(0o022)
    lifeline.start()
    frames.enlarge(1 if role == "send" else 0)
    is_done = True
    if role == "send":
        _send(config)
    elif "here" in config and not identity.is_here(config["here"]):
        Teller()({"elsewhere": True})
    else:
        is_done = receiver.run(config, sys.stdin.buffer, Teller())
    # The thread that waits for the end of stdin must not keep the interpreter from its own.
    os._exit(0 if is_done else 1)


def _send(config: Dict[str, Any]) -> None:
    try:
        sender.run(config, answer, 1)
    except BrokenPipeError:
        os._exit(1)


def answer() -> Dict[str, Any]:
    """Read the receiver's answer, then watch for the controller's end."""
    line = sys.stdin.buffer.readline(ANSWER_BYTES)
    if not line:
        os._exit(1)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    reply = json.loads(line.decode("ascii"))
    return reply if isinstance(reply, dict) else {}


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    lifeline.give_up()
    os._exit(1)


class Teller:
    """Writes messages to the controller: the magic line, then one JSON object a line."""

    def __init__(self) -> None:
        """Begin."""
        frames.write_all(1, b"\n" + frames.MAGIC)

    def __call__(self, message: Dict[str, Any]) -> None:
        """Write one message; end if nobody listens."""
        try:
            frames.write_all(1, json.dumps(message).encode("ascii") + b"\n")
        except BrokenPipeError:
            lifeline.give_up(is_lost=True)
            os._exit(1)
