"""The sender's program that reaches the receiver's host itself, so that no third host has the data.

It starts ssh, writes the receiver's program and the stream to it, and passes the receiver's
messages on to the controller. The controller's own are the receiver's answer and a cancel, of which
the receiver learns by a token at the end of the stream.
"""

import base64
import contextlib
import functools
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, Dict, List

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
CANCEL = {"cancel": True}
# What interrupts the sender, which waits for the network or for the answer.
INTERRUPT = signal.SIGUSR1
CANCEL_SECONDS = 10.0

ALONE = ("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ClearAllForwardings=yes")


class Cancelled(BaseException):
    """The controller has ended the transfer."""


def main(config: Dict[str, Any], way: Dict[str, Any], program: str) -> None:
    """Send to a host by ssh.

    Messages to the controller: those of the receiver; ``{"gone": {"begun": …, "code": …}}`` if
    ssh ended otherwise than well; ``{"result": {"same_host": True}}`` if the host is this one and
    that is asked for.

    Args:
        config: see ``sender.Sender``.
        way: see ``ssh_words``; ``host``, what the receiver's host says of itself; ``local``,
            whether it is only to be told if that is this one; ``token``, with which a cancelled
            stream ends.
        program: the receiver's, in base64.
    """
    os.umask(0o022)
    lifeline.start()
    tell = stream.Teller()
    if way["local"] and identity.is_here(way["host"]):
        tell({"result": {"same_host": True}})
        os._exit(0)
    program_ = base64.b64decode(program)
    answers = queue.Queue()  # type: queue.Queue[Dict[str, Any]]
    signal.signal(INTERRUPT, _interrupt)
    threading.Thread(target=_hear, args=(answers,), daemon=True).start()
    pour = functools.partial(_pour, program=program_, config=config, answer=answers.get)
    _send(ssh_words(way), pour, way["token"], tell)
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


def _send(words: List[str], pour: Callable[[int], None], token: str, tell: stream.Teller) -> None:
    """Run ssh, fill its standard input, and end when it does.

    Args:
        words: that start it.
        pour: writes all that is to be sent to a descriptor.
        token: ends what was cancelled.
        tell: tells the controller.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}  # type: Any
    start = functools.partial(subprocess.Popen, words, start_new_session=True, **pipes)
    child = listener = None  # type: Any
    try:
        with lifeline.child(start) as child:
            listener = threading.Thread(target=_pass_on, args=(child, tell), daemon=True)
            listener.start()
            with contextlib.suppress(BrokenPipeError):  # the receiver has ended, and tells why
                pour(child.stdin.fileno())
                child.stdin.close()
            listener.join()
    except Cancelled:
        # From here on ssh ends with the receiver, also where the controller goes first.
        if listener:
            _cancel(child, token)
            listener.join(CANCEL_SECONDS)


def _pour(
    output: int, program: bytes, config: Dict[str, Any], answer: Callable[[], Dict[str, Any]]
) -> None:
    frames.enlarge(output)
    frames.write_all(output, program)
    sender.run(config, answer, output)


def _hear(answers: Any) -> None:
    """Take what the controller says; end with it."""
    for line in sys.stdin.buffer:
        message = json.loads(line.decode("ascii"))
        if message == CANCEL:
            # To the thread that waits: the system might choose another.
            signal.pthread_kill(threading.main_thread().ident, INTERRUPT)
        else:
            answers.put(message)
    lifeline.give_up()
    os._exit(1)


def _interrupt(*_event: Any) -> None:
    signal.signal(INTERRUPT, signal.SIG_IGN)
    raise Cancelled


def _cancel(child: Any, token: str) -> None:
    """End the stream with the token; a pipe that nobody empties is left alone after a while."""
    if child.stdin.closed:
        return
    output = child.stdin.fileno()
    os.set_blocking(output, False)
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    with contextlib.suppress(OSError):
        if poll.poll(CANCEL_SECONDS * 1000):
            frames.write_all(output, token.encode("ascii"))
    with contextlib.suppress(OSError):
        child.stdin.close()


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
