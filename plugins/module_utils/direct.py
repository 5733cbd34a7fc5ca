"""The sender's program that reaches the receiver's host itself, so that no third host has the data.

It starts ssh, writes the receiver's program and the stream to it, and passes the receiver's
messages on to the controller.
"""

import base64
import os
import subprocess
import threading
from typing import Any, Dict, List

from ansible_collections.one.tm.plugins.module_utils import (
    ciphers,
    frames,
    identity,
    lifeline,
    sender,
    stream,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4")
ALONE = ("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ClearAllForwardings=yes")


def main(config: Dict[str, Any], way: Dict[str, Any], program: str) -> None:
    """Send to a host by ssh.

    Messages to the controller: those of the receiver; ``{"gone": {"begun": …, "code": …}}`` if
    ssh ended otherwise than well; ``{"result": {"same_host": True}}`` if the host is this one and
    that is asked for.

    Args:
        config: see ``sender.Sender``.
        way: see ``ssh_words``; ``host``, what the receiver's host says of itself; ``local``,
            whether it is only to be told if that is this one.
        program: the receiver's, in base64.
    """
    os.umask(0o022)
    lifeline.start()
    tell = stream.Teller()
    if way["local"] and identity.is_here(way["host"]):
        tell({"result": {"same_host": True}})
        os._exit(0)
    _send(config, ssh_words(way), base64.b64decode(program), tell)
    # The threads must not keep the interpreter from its end.
    os._exit(0)


def ssh_words(way: Dict[str, Any]) -> List[str]:
    """Return the words that run a command on a host.

    An unknown host key is refused as this host's ssh is configured, in batch mode without asking.

    Args:
        way: ``address``; ``user`` and ``port``, or None; ``seconds`` for the connection;
            ``check_key``, whether keys are checked at all; ``ciphers``; ``command`` for a shell.
    """
    words = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "Compression=no", *ALIVE, *ALONE]
    words += ["-o", "ConnectTimeout=%d" % way["seconds"]]
    if not way["check_key"]:
        words += ["-o", "StrictHostKeyChecking=no"]
    names = ciphers.order(way["ciphers"])
    if names:
        words += ["-o", "Ciphers=" + ",".join(names)]
    if way["port"]:
        words += ["-p", "%d" % int(way["port"])]
    if way["user"]:
        words += ["-l", way["user"]]
    return [*words, "--", way["address"], way["command"]]


def _send(config: Dict[str, Any], words: List[str], program: bytes, tell: stream.Teller) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}  # type: Any
    child = subprocess.Popen(words, start_new_session=True, **pipes)
    with lifeline.child(child.pid):
        listener = threading.Thread(target=_pass_on, args=(child, tell), daemon=True)
        listener.start()
        try:
            output = child.stdin.fileno()
            frames.enlarge(output)
            frames.write_all(output, program)
            sender.run(config, stream.answer, output)
            child.stdin.close()
        except BrokenPipeError:
            pass  # the receiver has ended, and tells why
        listener.join()


def _pass_on(child: Any, tell: stream.Teller) -> None:
    """Pass the receiver's messages on; tell if it ends without a word or badly."""
    begun = False
    try:
        frames.skip_noise(child.stdout)
        begun = True
        for line in child.stdout:
            frames.write_all(1, line)
    except TmError:
        pass  # nothing of ours came
    except BrokenPipeError:
        lifeline.give_up(is_lost=True)
        os._exit(1)
    code = child.wait()
    if code or not begun:
        tell({"gone": {"begun": begun, "code": code}})
    lifeline.give_up()
    os._exit(0)
