"""What a program on a host says, before anybody acts on it.

A host is not trusted: what comes from there may be anything, and Ansible takes some keys of a
result for instructions (``ansible_facts``, ``add_host``). Only messages that a program of ours can
have written are passed on.
"""

import json
from typing import Any, Callable, Dict, Mapping

from ansible_collections.one.tm.plugins.module_utils import temporary
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

MOST = 1 << 63

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    """Tell whether a value is a text; of lone surrogates it has only those of a name's bytes."""
    try:
        return isinstance(value, str) and value.encode("utf-8", "surrogateescape") is not None
    except UnicodeEncodeError:
        return False


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_status(value) and value >= 0


def _is_status(value: Any) -> bool:
    return type(value) is int and -MOST < value < MOST


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < MOST


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_name(value: Any) -> bool:
    return _is_text(value) and "/" not in value


def _is_marker(value: Any) -> bool:
    """Tell whether a name is one of ``marker.placed``: the sender looks for that file, no other."""
    match = temporary.NAME.match(value) if isinstance(value, str) else None
    return match is not None and match.group(1).startswith(temporary.HERE)


_FIELDS: Mapping[Check, str] = {
    _is_text: "boot cached destination machine mounts msg path state type uuid",
    _is_flag: "changed complete failed gone same same_host",
    _is_count: "bytes entries files resumed size",
    _is_status: "rc",
    _is_number: "copy_seconds",
    _is_texts: "stdout_lines tm_detail tm_log",
}
RESULT = {name: check for check, names in _FIELDS.items() for name in names.split()}
PROGRESS = {"done": _is_count, "size": _is_count, "bytes": _is_count, "name": _is_text}
ANSWER = {"send": _is_flag, "marker": _is_marker, "name": _is_name, "offset": _is_count}
ERROR = {
    "side": _is_text,
    "lost": _is_flag,
    "bytes": _is_count,
    "message": _is_text,
    "detail": _is_texts,
}
# What a receiver tells of what it has.
RECEIVED = {
    *("bytes", "cached", "changed", "complete", "destination", "files", "gone", "resumed"),
    *("same", "size", "state", "type"),
}


def _has(checks: Mapping[str, Check], optional: Any = ()) -> Check:
    """Return what tells whether a value is an object of such fields."""

    def is_one(value: Any) -> bool:
        if not isinstance(value, dict) or set(checks) - set(value) - set(optional):
            return False
        return all(name in checks and checks[name](each) for name, each in value.items())

    return is_one


KINDS = {
    "answer": _has(ANSWER, ["offset"]),
    "elsewhere": _is_flag,
    "error": _has(ERROR),
    "gone": _has({"begun": _is_flag, "code": _is_status}),
    "log": _is_text,
    "progress": _has(PROGRESS, ["name"]),
    "result": _has(RESULT, RESULT),
}


def parse(line: bytes, host: str) -> Dict[str, Any]:
    """Read a message of a program on a host.

    Args:
        line: one line of its output.
        host: its name, for messages.

    Returns:
        An object with one key, the kind of message; what it holds is of the types of that kind.

    Raises:
        TmError: it is no message of ours.
    """
    try:
        message = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or len(message) != 1:
        raise _refusal(line, host)
    for kind, value in message.items():
        if kind not in KINDS or not KINDS[kind](value):
            raise _refusal(line, host)
    return message


def received(result: Dict[str, Any], host: str) -> Dict[str, Any]:
    """Return the result of a receiver if it is whole.

    Args:
        result: of a message that ``parse`` has read.
        host: name of the receiver's host, for messages.

    Raises:
        TmError: it lacks something.
    """
    if "same_host" not in result and not RECEIVED.issubset(result):
        raise _refusal(json.dumps(result).encode("ascii"), host)
    return result


def _refusal(line: bytes, host: str) -> TmError:
    return TmError(
        "%s answered with what is no message of ours; look at its python and its login scripts"
        % host,
        [ascii(line[:200])],
    )
