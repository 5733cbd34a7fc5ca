"""What is fuzzed: functions that take any bytes, and raise only what is a mistake of ours.

Each gives its input to one parser, lets the errors pass that the parser says it raises, and asserts
what holds of everything that the parser lets through.
"""

import json
import os
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".collections"))

from ansible_collections.one.tm.plugins.module_utils import (  # noqa: E402
    entries,
    frames,
    headers,
    paths,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError  # noqa: E402
from ansible_collections.one.tm.plugins.module_utils.receiver import Receiver  # noqa: E402
from ansible_collections.one.tm.plugins.plugin_utils import answers  # noqa: E402

from tm_ansible import actions, protocol, rcfile, template, yamlfile  # noqa: E402
from tm_ansible.arguments import parse_arguments, split_arguments  # noqa: E402
from tm_ansible.complaint import convert  # noqa: E402
from tm_ansible.endpoint import Endpoint, Url, parse_endpoint, parse_source  # noqa: E402
from tm_ansible.engine.events import parse_event  # noqa: E402
from tm_ansible.engine.job import Severity  # noqa: E402
from tm_ansible.engine.report import Report  # noqa: E402
from tm_ansible.errors import ScriptError, SettingsError  # noqa: E402
from tm_ansible.lines import LineSplitter  # noqa: E402
from tm_ansible.script import parse_script, render_script  # noqa: E402
from tm_ansible.settings import Settings  # noqa: E402

Target = Callable[[bytes], object]

_OF_PROTOCOL = re.compile(
    rb"(LOG [IWED] (-1|\d+)|TRANSFER FAILURE \d+|TRANSFER SUCCESS \d+ -|INIT FAILURE)[ \n].*",
    re.DOTALL,
)
_HOST = re.compile(r"[A-Za-z0-9_.:-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Keys, and texts, that mean something.
_OFFERED = ("entries", "path", "host", "backing", "settled", "file", "directory", "link")
_ANSWERED = (
    *("result", "error", "progress", "log", "answer", "gone", "elsewhere", "side", "lost", "bytes"),
    *("message", "detail", "done", "size", "begun", "code", "changed", "tm_log", "failed", "msg"),
    *("ansible_facts", "add_host"),
)
_TOLD = (
    *("event", "event_data", "stdout", "res", "task", "duration", "resolved_action", "msg", "host"),
    *("tm_log", "tm_detail", "results", "failed", "argument_errors", "_ansible_delegated_vars"),
    *("ansible_delegated_host", "name", "runner_on_ok", "runner_on_failed", "runner_on_skipped"),
    *("runner_on_unreachable", "playbook_on_play_start", "playbook_on_stats", "verbose", "error"),
    *("resolved_role", "one.tm.tm", "ignore_errors", "changed", "m", "stderr", "exception"),
    *(
        'tm_progress: {"size": 1}',
        'tm_action: {"begun": 1}',
        'tm_action: {"result": []}',
        "[ERROR]: x",
    ),
)
_SCRATCH = os.memfd_create("image")


def line(data: bytes) -> None:
    """A line of oned is a request, or is refused; what is said of it is one clean line."""
    request = protocol.parse_request(data)
    if isinstance(request, protocol.Malformed):
        assert not _CONTROL.search(request.text)
    elif isinstance(request, protocol.Transfer):
        assert 0 <= request.vm_id < 1 << 31
    text = data.decode("utf-8", "surrogateescape")
    said = [*protocol.render_log(Severity.INFO, 7, text), protocol.render_reply(7, text)]
    for each in (*said, protocol.init_failure(text)):
        assert _OF_PROTOCOL.fullmatch(each)
        assert len(each) <= protocol.MAX_LINE
        assert each.count(b"\n") == 1
        assert not _CONTROL.search(each.decode()[:-1])


def lines(data: bytes) -> None:
    """A stream cut anywhere gives the same lines, each within its limit."""
    size, data = (data[0] % 31 + 1 if data else 1), data[1:]
    splitter = LineSplitter(64)
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    found = [each for chunk in chunks for each in splitter.feed(chunk)]
    whole = data.split(b"\n")[:-1]
    assert found == [each for each in whole if len(each) <= 64]


def script(data: bytes) -> None:
    """A script gives actions that render to the same, with arguments that are data, or an error."""
    with suppress(ScriptError):
        parsed = parse_script(data.decode("utf-8", "ignore"))
        assert parse_script(render_script(parsed)) == parsed
        for action in parsed:
            _arguments(action)


def _arguments(action: Any) -> None:
    """Read the words of an action as ``actions.job_for`` does."""
    forms = [form for form in actions._FORMS[action.verb] if len(form) == len(action.arguments)]
    for form in forms:
        for slot, word in zip(form, action.arguments, strict=True):
            value = slot.parse(word)
            assert isinstance(value, int) or not _CONTROL.search(str(value))
            if isinstance(value, Endpoint):
                _place(value)


def endpoint(data: bytes) -> None:
    """A word is a place, which driver and content read alike, or a URL whose secrets are hidden."""
    word = data.decode("utf-8", "surrogateescape")
    with suppress(ScriptError):
        _place(parse_endpoint(word, role="destination"))
    with suppress(ScriptError):
        place = parse_source(word)
        if isinstance(place, Endpoint):
            _place(place)
        else:
            _url(place)


def _place(place: Endpoint) -> None:
    assert _HOST.fullmatch(place.host)
    assert place.path.startswith("/")
    assert "//" not in place.path
    assert not _CONTROL.search(place.path)
    text = str(place)
    assert paths.split(text) == (place.host, place.path)
    again = parse_source(text) if "://" not in text else place
    assert again == place


def _url(url: Url) -> None:
    """What is shown of a URL names no user, and nothing behind a question mark."""
    for shown in (url.shown, paths.without_secrets(url.text)):
        authority, *rest = re.split(r"[/?#]", shown.partition("://")[2], maxsplit=1)
        assert authority.rpartition("@")[0] in ("", "***")
        assert not re.search(r"[?#](?!\*\*\*)", "".join(rest))


def map_(data: bytes) -> None:
    """A template gives names and values, or an error."""
    with suppress(SettingsError):
        for attribute in template.parse_template(data.decode("utf-8", "ignore")).attributes:
            assert re.fullmatch(r"[A-Z_][A-Z0-9_.-]*", attribute.name)


def rc(data: bytes) -> None:
    """A line of an rc file gives values by name, or an error."""
    with suppress(SettingsError):
        values = rcfile._parse_line(data.decode("utf-8", "ignore").replace("\n", " "), "here")
        assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in values)


def arguments(data: bytes) -> None:
    """The driver's arguments are understood or refused."""
    with suppress(SettingsError):
        parse_arguments(split_arguments([data.decode("utf-8", "surrogateescape")]))


def settings(data: bytes) -> None:
    """A settings file gives settings, or an error that names the place."""
    with suppress(SettingsError):
        values = yamlfile._parse(data, Path("settings.yml"))
        assert isinstance(convert(values, Settings), Settings)


def frame(data: bytes) -> None:
    """Any bytes behind the magic line are frames, or are refused."""
    reader = frames.FrameReader(_Stream(data))
    with suppress(TmError):
        while True:
            head = reader.expect(*frames.LIMITS, frames.SAME, frames.FILE, frames.POSITION)
            if head.type in (frames.DATA, frames.PACKED):
                assert len(reader.data(head)) <= frames.BLOCK_BYTES
            elif head.type in (frames.HEADER, frames.SEGMENT):
                reader.payload(head)


def stream(data: bytes) -> None:
    """Frames whose checks are right, whatever they say, are taken in turn or refused."""
    reader = frames.FrameReader(_Stream(b"".join(_framed(data))))
    with suppress(TmError):
        while True:
            head = reader.expect(*frames.LIMITS, frames.SAME, frames.FILE, frames.POSITION)
            if head.type == frames.HEADER:
                entries.Tree.from_json(reader.json(head).get("entries") or [])
            elif head.type in (frames.DATA, frames.PACKED):
                reader.data(head)
            else:
                reader.payload(head)


def _framed(data: bytes) -> Iterator[bytes]:
    """Make frames of bytes: a type, a length, an offset, and the payload."""
    at = 0
    while at + 4 <= len(data):
        type_, length, offset = data[at : at + 1], data[at + 1], data[at + 2] << data[at + 3] % 64
        payload = data[at + 4 : at + 4 + length]
        at += 4 + length
        check = frames.check_of(type_, offset % (1 << 64), payload)
        head = frames.FRAME.pack(type_, offset % (1 << 64), len(payload))
        yield head + frames.CHECK.pack(check) + payload


def header(data: bytes) -> None:
    """What a sender offers is a tree below one root, or is refused."""
    data = _json(data, _OFFERED)
    check = frames.check_of(frames.HEADER, 0, data)
    head = frames.FRAME.pack(frames.HEADER, 0, len(data)) + frames.CHECK.pack(check)
    reader = frames.FrameReader(_Stream(b"\n" + frames.MAGIC + head + data))
    config = {"mode": "", "owner": "", "group": ""}
    with suppress(TmError):
        offer = Receiver(config, reader, lambda _message: None)._offer()
        for entry in offer.found.entries if offer.found else ():
            parts = entry.path.split("/")
            assert ".." not in parts
            assert not entry.path.startswith("/")
            assert "\0" not in entry.path + entry.target
            os.fsencode(entry.path + entry.target)
            struct.pack(">qqq", entry.size, entry.mtime_ns or 0, entry.mode)


def image(data: bytes) -> None:
    """The header of an image names a format and a file, or is refused."""
    os.ftruncate(_SCRATCH, 0)
    os.pwrite(_SCRATCH, data, 0)
    with suppress(TmError):
        found = headers.read(_SCRATCH)
        assert len(os.fsencode(found.backing)) <= headers.NAME_BYTES


def message(data: bytes) -> None:
    """A line from a host is a message of ours, or is refused."""
    with suppress(TmError):
        found = answers.parse(_json(data, _ANSWERED), "node1")
        if "result" in found:
            assert "ansible_facts" not in found["result"]
            assert "add_host" not in found["result"]
            with suppress(TmError):
                answers.received(found["result"], "node1")


def event(data: bytes) -> None:
    """Any object in place of an event of Ansible's is taken note of or left; nothing is raised."""
    with suppress(ValueError, RecursionError):
        raw = json.loads(_json(data, _TOLD))
        if not isinstance(raw, list):
            raw = [raw]
        report = Report(labels=["CLONE node1", "MV node2"], marker="m")
        for each in raw:
            _feed(report, each)


def _feed(report: Report, raw: object) -> None:
    if not isinstance(raw, dict):
        return
    try:
        found = parse_event(raw)
        for said in report.feed(found) if found else ():
            assert len(str(said)) < 1 << 16
        outcome = report.outcome(2)
    except (ValueError, RecursionError) as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    assert outcome.reason


def _json(data: bytes, keys: Sequence[str]) -> bytes:
    """Make JSON of an input: the input itself, or with a zero in front something made of it."""
    if data[:1] != b"\0":
        return data
    return json.dumps(_value(iter(data[1:]), keys, 0)).encode()


def _value(data: Iterator[int], keys: Sequence[str], depth: int) -> Any:
    """Build a value, a byte a decision; a key is one that means something, or another."""
    kind, size = next(data, 0), next(data, 0) % 8
    if kind % 4 == 0 and depth < 5:
        pairs = [(next(data, 0), _value(data, keys, depth + 1)) for _ in range(size)]
        return {keys[number % len(keys)]: value for number, value in pairs}
    if kind % 4 == 1 and depth < 5:
        return [_value(data, keys, depth + 1) for _ in range(size)]
    choices = (None, True, False, 0, -1, 1.5, 1 << 64, 7, "", "x", "..", "/", "a/b", *keys)
    return choices[next(data, 0) % len(choices)]


class _Stream:
    """A binary file of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, length: int) -> bytes:
        data, self._data = bytes(self._data[:length]), self._data[length:]
        return data

    def readinto(self, buffer: memoryview) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self, limit: int) -> bytes:
        data = bytes(self._data[:limit])
        return self.read(data.find(b"\n") + 1 or limit)


TARGETS: dict[str, Target] = {
    "arguments": arguments,
    "endpoint": endpoint,
    "event": event,
    "frame": frame,
    "header": header,
    "image": image,
    "line": line,
    "lines": lines,
    "map": map_,
    "message": message,
    "rc": rc,
    "script": script,
    "settings": settings,
    "stream": stream,
}


def digest(data: bytes) -> str:
    """Name an input."""
    return f"{zlib.crc32(data):08x}"
