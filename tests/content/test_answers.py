"""Messages of programs on hosts: ours are taken, and nothing that merely looks like one."""

import json
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import answers

MARKER = ".tm-0123456789abcdef.here-" + "0" * 32
RECEIVED: dict[str, Any] = {
    "changed": True,
    "complete": False,
    "gone": False,
    "same": False,
    "bytes": 7,
    "files": 1,
    "size": 7,
    "resumed": 0,
    "destination": "/x",
    "type": "file",
    "cached": "",
    "state": "ab",
}
OURS = [
    {"answer": {"send": True, "marker": MARKER, "name": "disk.0", "offset": 0}},
    {"progress": {"done": 1, "size": 2, "bytes": 1}},
    {"progress": {"done": 1, "size": 2, "bytes": 1, "name": "disk.0"}},
    {"log": "the cache is full"},
    {"log": "/srv/\udc80 is no file"},
    {"error": {"side": "source", "lost": True, "bytes": 0, "message": "no", "detail": ["x"]}},
    {"gone": {"begun": False, "code": -9}},
    {"elsewhere": True},
    {"result": {"same_host": True}},
    {"result": {"changed": True, "tm_log": ["made swap"], "copy_seconds": 0.5}},
    {"result": {"failed": True, "msg": "no room", "tm_detail": []}},
    {"result": RECEIVED},
]
OTHERS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"log": "x", "result": {}}',
    b'{"result": {"ansible_facts": {}}}',
    b'{"result": {"add_host": {}}}',
    b'{"result": {"tm_log": "x"}}',
    b'{"result": {"tm_log": [1]}}',
    b'{"result": {"copy_seconds": NaN}}',
    b'{"result": {"bytes": true}}',
    b'{"result": {"bytes": -1}}',
    b'{"progress": {"done": 1, "size": 2}}',
    b'{"progress": {"done": 1, "size": 2, "bytes": 18446744073709551616}}',
    b'{"answer": {"send": true, "marker": "../../etc/shadow", "name": "x"}}',
    b'{"answer": {"send": true, "marker": ".tm-0123456789abcdef.part", "name": "x"}}',
    b'{"answer": {"send": true, "marker": "%s", "name": "a/b"}}' % MARKER.encode(),
    b'{"gone": {"begun": false, "code": 0, "side": 1}}',
    b'{"log": "\\ud800"}',
    b'{"result": {"tm_log": ["x", "\\udbff"]}}',
    b'{"answer": {"send": true, "marker": "%s", "name": "\\udfff"}}' % MARKER.encode(),
    b"\xff",
    b"[" * 100_000,
    b'{"result": {"size": 1' + b"0" * 5000 + b"}}",
]


@pytest.mark.parametrize("message", OURS)
def test_messages_of_ours_are_taken(message: dict[str, Any]) -> None:
    """Each kind, with what it holds."""
    assert answers.parse(json.dumps(message).encode(), "node1") == message


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: line[:40].decode("latin-1"))
def test_other_lines_are_refused(line: bytes) -> None:
    """Other kinds, keys and types are a failure that names the host and shows the line."""
    with pytest.raises(TmError, match="node1 answered with what is no message of ours") as raised:
        answers.parse(line, "node1")
    assert len(raised.value.detail[0]) < 1000


def test_result_of_a_receiver_has_to_be_whole() -> None:
    """What the log says of an image needs all of it."""
    assert answers.received(RECEIVED, "node1") == RECEIVED
    assert answers.received({"same_host": True}, "node1") == {"same_host": True}
    for key in RECEIVED:
        lacking = {name: value for name, value in RECEIVED.items() if name != key}
        with pytest.raises(TmError, match="no message of ours"):
            answers.received(lacking, "node1")
