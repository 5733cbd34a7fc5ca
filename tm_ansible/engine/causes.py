"""What ssh and Ansible say when something is wrong, in words that tell a person what to do."""

import contextlib
import re
import signal
from collections.abc import Iterable, Sequence

_PREFIXES = re.compile(
    r"^(?:(?:Task failed|Module failed|Action failed|Error while executing module|"
    r"Failed to connect to the host via ssh|SSH Error|Data could not be sent to remote host"
    r"[^:]*(?:Make sure this host can be reached over ssh)?)[:.] *)+"
)

# Read in OpenSSH's client (sshconnect.c, readconf.c), ansible-core's connection plugins, and sudo.
_KNOWN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        (
            r"HOST IDENTIFICATION HAS CHANGED|Host key verification failed|host key is known for",
            "the host key is not the one known for it: check it and known_hosts",
        ),
        (
            r"connect to (?:host|address) (\S+) port (\d+): Connection refused",
            r"\1 refused the connection to port \2: is sshd running there?",
        ),
        (
            r"Connection timed out|Operation timed out",
            "no answer: is it up, and is its ssh port open?",
        ),
        (
            r"Could not resolve hostname (\S+?):",
            r"the name \1 is unknown: check DNS, or give it an ansible_host in the inventory",
        ),
        (r"No route to host|Network is unreachable", "there is no route to it"),
        (
            r"Permission denied \((\S+)\)",
            r"ssh did not accept the key (it takes \1): check the user and its authorized_keys",
        ),
        (
            r"(?:Connection closed by|Connection reset by|kex_exchange_identification)",
            "the connection was closed before the log-in",
        ),
        (
            # Ansible's ssh plugin, if ssh has ended before it was given anything to read.
            r"^\[Errno 32\] Broken pipe",
            "ssh ended at once: it was refused, or its options are wrong",
        ),
        (
            r"(\S{0,255}python[\d.]*): (?:not found|No such file or directory)",
            r"there is no \1: install Python 3, or set ansible_python_interpreter for the host",
        ),
        (
            r"Missing sudo password|sudo: a password is required",
            "sudo wants a password: allow it without one, or set ansible_become_password",
        ),
        (
            r"No space left on device|not enough free disk space",
            "no space left on the device (for Ansible's temporary files, or the image's directory)",
        ),
    )
)

# Of a text that tells a cause: its begin and its end, since patterns take long on long texts.
_HALF = 8_000

_SYNTAX = "Syntax Error while loading YAML."
_PLACES = ("Origin: ", "The error appears to be in ")


def plain_cause(texts: Iterable[str]) -> str:
    """Choose and reword the cause of a failure.

    Args:
        texts: what was reported, the most telling first.

    Returns:
        One line; a fallback if nothing was reported.
    """
    texts = [_PREFIXES.sub("", _shortened(text.strip())) for text in texts]
    for text in texts:
        for pattern, sentence in _KNOWN:
            if match := pattern.search(text):
                return match.expand(sentence) if "\\" in sentence else sentence
    for text in texts:
        if line := _telling_line(text):
            return line
    return "no cause was reported; the driver's log may tell more"


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * _HALF else f"{text[:_HALF]} … {text[-_HALF:]}"


def plain_complaint(lines: Sequence[str]) -> str:
    """Choose what tells most of the lines with which Ansible gives up.

    Args:
        lines: as printed, the first behind Ansible's ``ERROR``.

    Returns:
        One line, with the place in a file if Ansible names one.
    """
    what, *more = lines
    if "JSON nor YAML" in what:  # ansible-core before 2.19
        problem = more[more.index(_SYNTAX) + 1] if _SYNTAX in more[:-1] else ""
        what = f"YAML parsing failed: {problem}"
    place = next((line for line in more if line.startswith(_PLACES)), "")
    return f"{what} {place or ' '.join(more[:1])}".strip()


def _telling_line(text: str) -> str:
    """The last line of a traceback, else the whole text as one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Traceback"):
        return lines[-1]
    return " ".join(lines)


def ending(status: int) -> str:
    """Return how a process ended.

    Args:
        status: its exit status, or a signal's number below zero.
    """
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed (signal {-status}, {signal.Signals(-status).name})"
    return f"was killed (signal {-status})"
