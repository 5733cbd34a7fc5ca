"""Ansible's events as ansible-runner reports them, made into types of our own."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tm_ansible.engine.job import Severity

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LIVE = re.compile(r"tm_log(?: ([IWED]))?: (.*)")
_MOVING = re.compile(r"tm_progress: (\{.*\})")
_ACTION = re.compile(r"tm_action: (\{.*\})")
_EMPTY = ("", "traceback unavailable")
_MOST_SECONDS = 1e9
_COMPLAINT = re.compile(r"(?:\[ERROR\]: |ERROR! )(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PlayStarted:
    """A play begins."""

    name: str


@dataclass(frozen=True, slots=True)
class NoHosts:
    """The play that just began matches no host."""


@dataclass(frozen=True, slots=True)
class ActionBegun:
    """The next of several actions of one task begins."""


@dataclass(frozen=True, slots=True)
class JobEnded:
    """All actions of a job have ended well, and their task waits for more.

    Attributes:
        token: known to the task alone.
    """

    token: str


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task ended well on a host.

    Attributes:
        task: its name.
        module: the module's or action's full name.
        from_role: whether a role of collection one.tm holds the task.
        changed: whether it changed something.
        skipped: whether its condition kept it from running.
        elsewhere: the host that it was delegated to, or ``""``.
        seconds: how long it took.
        sentences: the result's ``tm_log``.
        message: the result's ``msg``, if it is a text.
        timed: whether the sentences say themselves how long it took.
    """

    task: str
    module: str
    from_role: bool
    changed: bool
    skipped: bool
    elsewhere: str
    seconds: float
    sentences: tuple[str, ...]
    message: str
    timed: bool = False


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task failed on a host, or its host could not be reached.

    Attributes:
        host: where, as the inventory names it.
        task: its name.
        unreachable: whether the connection failed.
        texts: what may tell the cause, the best first.
        detail: lines for the error block.
    """

    host: str
    task: str
    unreachable: bool
    texts: tuple[str, ...]
    detail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A line that a plugin shows while its task runs."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Moving:
    """Where a copy is that a plugin has under way.

    Attributes:
        name: of what is copied.
        size: bytes of it; 0 if nobody knows.
        done: bytes of it that are behind.
        moved: bytes of data that were moved.
    """

    name: str
    size: int
    done: int
    moved: int


@dataclass(frozen=True, slots=True)
class Complaint:
    """Ansible itself gives up: a playbook, inventory or option it cannot use."""

    text: str


@dataclass(frozen=True, slots=True)
class Printed:
    """Any other line that Ansible prints; behind a complaint it says where and why."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The recap: Ansible came to the end of its work, good or bad."""


Event: TypeAlias = (
    PlayStarted
    | NoHosts
    | ActionBegun
    | JobEnded
    | TaskEnded
    | TaskFailed
    | Said
    | Moving
    | Complaint
    | Printed
    | Ended
)


def parse_event(raw: Mapping[str, Any]) -> Event | None:
    """Make an event of ours from one of ansible-runner's.

    Args:
        raw: the dict that ansible-runner gives to an ``event_handler``; its ``event`` names are
            those of Ansible's callbacks without their ``v2_``.

    Returns:
        The event, or None for one that nothing here depends on.
    """
    kind, data = str(raw.get("event")), _mapping(raw.get("event_data"))
    if kind in ("verbose", "error"):
        return _output(_text(raw.get("stdout")))
    if kind == "runner_on_failed" and data.get("ignore_errors"):
        return None
    maker = _MAKERS.get(kind)
    return maker(data) if maker else None


def _output(stdout: str) -> Event | None:
    text = _ANSI.sub("", stdout).strip()
    if live := _LIVE.fullmatch(text):
        return Said(Severity(live[1] or "I"), live[2])
    if moving := _MOVING.fullmatch(text):
        return _moving(moving[1])
    if action := _ACTION.fullmatch(text):
        return _action(action[1])
    if complaint := _COMPLAINT.match(text):
        return Complaint(" ".join(complaint[1].split()))
    return Printed(text) if text else None


def _moving(text: str) -> Moving | None:
    try:
        value = json.loads(text)
        numbers = (int(value[key]) for key in ("size", "done", "bytes"))
        return Moving(str(value["name"]), *numbers)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _action(text: str) -> ActionBegun | JobEnded | TaskEnded | None:
    """One of several actions of a task begins, or ends as a task of its own would; or all have."""
    try:
        value = json.loads(text)
        if "begun" in value:
            return ActionBegun()
        if "ended" in value:
            return JobEnded(str(value["ended"]))
        data = {"res": value["result"], "duration": value["seconds"], "resolved_role": "one.tm.tm"}
    except (ValueError, KeyError, AttributeError, RecursionError):
        return None
    return _task_ended(data, skipped=False)


def _task_ended(data: Mapping[str, Any], *, skipped: bool) -> TaskEnded:
    result = _result(data)
    return TaskEnded(
        task=str(data.get("task") or ""),
        module=str(data.get("resolved_action") or data.get("task_action") or ""),
        from_role=str(data.get("resolved_role") or "").startswith("one.tm."),
        changed=bool(result.get("changed")),
        skipped=skipped,
        elsewhere=_delegated(result),
        seconds=_seconds(data.get("duration")),
        sentences=_sentences(result),
        message=_text(result.get("msg")),
        timed="copy_seconds" in result,
    )


def _sentences(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The result's own sentences, those of a loop's items included."""
    own = result.get("tm_log")
    said = [own] if isinstance(own, str) else list(own) if isinstance(own, list) else []
    for item in _items(result):
        said += _sentences(item)
    return tuple(str(sentence) for sentence in said)


def _task_failed(data: Mapping[str, Any], *, unreachable: bool) -> TaskFailed:
    result = _result(data)
    blamed = next((item for item in _items(result) if item.get("failed")), result)
    detail = blamed.get("tm_detail")
    lines = detail if isinstance(detail, list) else _streams(blamed).splitlines()
    return TaskFailed(
        host=_delegated(result) or str(data.get("host") or ""),
        task=str(data.get("task") or ""),
        unreachable=unreachable,
        texts=_causes(blamed),
        detail=tuple(
            _ANSI.sub("", str(line)) for line in lines if str(line).strip(" ()") not in _EMPTY
        ),
    )


def _causes(result: Mapping[str, Any]) -> tuple[str, ...]:
    refused = result.get("argument_errors")
    if isinstance(refused, list) and refused:
        return ("; ".join(str(error) for error in refused),)
    keys = ("module_stderr", "module_stdout", "stderr", "msg", "exception")
    message = _text(result.get("msg"))
    if not message.startswith("MODULE FAILURE") and "module_stderr" not in result:
        keys = ("msg", "stderr", "module_stderr", "module_stdout", "exception")
    texts = (_text(result.get(key)).strip() for key in keys)
    return tuple(text for text in texts if text)


def _streams(result: Mapping[str, Any]) -> str:
    names = ("stderr", "module_stderr", "module_stdout", "exception")
    return "\n".join(_text(result.get(name)) for name in names)


def _items(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    results = result.get("results")
    return [item for item in results if isinstance(item, dict)] if isinstance(results, list) else []


def _delegated(result: Mapping[str, Any]) -> str:
    variables = result.get("_ansible_delegated_vars")
    host = variables.get("ansible_delegated_host") if isinstance(variables, dict) else None
    return str(host or "")


def _result(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(data.get("res"))


def _mapping(value: object) -> Mapping[str, Any]:
    """Give what has to be a mapping; modules put into a result what they like."""
    return value if isinstance(value, dict) else {}


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < _MOST_SECONDS else 0.0


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(str(part) for part in value)
    return value if isinstance(value, str) else ""


_MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Event]] = {
    "playbook_on_play_start": lambda data: PlayStarted(str(data.get("name") or "")),
    "playbook_on_no_hosts_matched": lambda _data: NoHosts(),
    "playbook_on_stats": lambda _data: Ended(),
    "runner_on_ok": lambda data: _task_ended(data, skipped=False),
    "runner_on_skipped": lambda data: _task_ended(data, skipped=True),
    "runner_on_failed": lambda data: _task_failed(data, unreachable=False),
    "runner_on_unreachable": lambda data: _task_failed(data, unreachable=True),
}
