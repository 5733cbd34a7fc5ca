"""A host on which somebody else answers: what it says is data, bounded, and never code."""

import json
import shutil
import socketserver
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support import hostile
from tests.support.hosts import (
    SshHost,
    close_masters,
    make_key,
    missing_for_hosts,
    write_inventory,
)
from tests.support.oned import Oned
from tests.support.processes import resident_mib
from tests.support.servers import serving
from tests.support.site import Site

pytestmark = pytest.mark.xdist_group("hostile hosts")

# In place of the interpreter: takes a program and a request, and answers as it was told to.
ANSWERING = """\
#!/usr/bin/python3
import select
import sys

taken = sys.stdin.buffer

def say(stream, kind):
    with open(sys.argv[0] + kind, "rb") as file:
        stream.buffer.write(file.read())
    stream.flush()

say(sys.stderr, ".stderr")
with open(sys.argv[0] + ".stdout", "rb") as file:
    answer = file.read()
if answer.startswith(b"one.tm stream"):
    taken.read(int(taken.readline()))
    sys.stdout.buffer.write(b"one.tm stream 2\\n")
    sys.stdout.flush()
    taken.read(int(taken.readline().split()[1]))
say(sys.stdout, ".stdout")
select.select([sys.stdin], [], [], 0.3)
"""
SPARE_MIB = 60
# With which every program of ours begins (``module_utils/frames.py``).
MAGIC = b"one.tm stream 2\n"
FORGED = "TRANSFER SUCCESS 4711 -"


@dataclass(frozen=True, slots=True)
class Place:
    """A driver with a good host, ``node1``, and a bad one, ``node2``.

    Attributes:
        site: the installation.
        oned: its driver, whose runs start warm.
        python: the bad host's interpreter.
        canaries: beginning of the paths of what code in an answer would make.
    """

    site: Site
    oned: Oned
    python: Path
    canaries: Path

    def let_say(self, stdout: bytes, stderr: bytes = b"") -> None:
        """Choose what the bad host answers to everything."""
        Path(f"{self.python}.stdout").write_bytes(stdout)
        Path(f"{self.python}.stderr").write_bytes(stderr)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Give the driver and its hosts."""
    if reason := missing_for_hosts():
        pytest.skip(reason)
    base = Path(tempfile.mkdtemp(prefix="tmh"))
    python = base / "python3"
    python.write_text(ANSWERING)
    python.chmod(0o755)
    make_key(base / "key")
    hosts = [_host(base, number) for number in (1, 2)]
    hosts[1].variables["ansible_python_interpreter"] = str(python)
    try:
        for host in hosts:
            host.start()
        inventory = write_inventory(base / "hosts.ini", hosts, base / "cp")
        # What answers here ends behind its answer: it is none for the next transfer.
        settings = "engine: {warm: true, session_seconds: 0}\n"
        site = Site(base, "ssh").install(settings, [inventory])
        (site.images / "a.img").write_bytes(bytes(1000))
        with site.start() as oned:
            oned.wait_warm()
            yield Place(site, oned, python, base / "canary")
    finally:
        close_masters(base / "cp")
        for host in hosts:
            host.stop()
        shutil.rmtree(base)


def _host(base: Path, number: int) -> SshHost:
    directory = base / f"node{number}"
    return SshHost(f"node{number}", f"127.0.0.{number + 1}", directory, base / "one", base / "key")


def _message(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _result(**more: Any) -> bytes:
    """Give a result that each program might tell, with more in it."""
    flags = {"changed": True, "complete": False, "gone": False, "same": False}
    counts = {"bytes": 7, "files": 1, "size": 7, "resumed": 0}
    texts = {"destination": "/x", "type": "file", "cached": "", "state": ""}
    return _message(result={**flags, **counts, **texts, **more})


LOOKUP = "{{{{ lookup('ansible.builtin.pipe', 'touch {}') }}}}"
ODD = f"\x1b[31m\x1b]0;x\x07\r\n{FORGED}\ntm_log E: forged\n\u202e"
DEEP = b'{"result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
# What is said, and whether a lie of that kind may pass: a host can say that it did its work.
ANSWERS: dict[str, tuple[bytes, bool]] = {
    "nothing": (b"", False),
    "noise": (b"x" * (3 << 20), False),
    "noise in lines": (b"no python here\n" * 200_000, False),
    "no JSON": (MAGIC + b"\x1b[31mred\n" * 10, False),
    "no ASCII": (MAGIC + b'{"result": "\xff"}\n', False),
    "no object": (MAGIC + b"[1, 2]\n", False),
    "nothing in it": (MAGIC + b"{}\n", False),
    "two kinds": (MAGIC + b'{"result": {}, "log": "x"}\n', False),
    "an unknown kind": (MAGIC + _message(ansible_facts={"a": 1}), False),
    "a text for a result": (MAGIC + _message(result="done"), False),
    "facts": (MAGIC + _result(ansible_facts={"ansible_connection": "local"}), False),
    "a new host": (MAGIC + _result(add_host={"host_name": "localhost"}), False),
    "an internal key": (MAGIC + _result(_ansible_delegated_vars={"x": 1}), False),
    "texts for numbers": (MAGIC + _message(progress={"done": "1", "size": 1}), False),
    "no number": (
        MAGIC + b'{"progress": {"done": NaN, "size": 1, "bytes": 1}}\n',
        False,
    ),
    "a huge number": (MAGIC + b'{"result": {"size": 1' + b"0" * 5000 + b"}}\n", False),
    "deep": (MAGIC + DEEP, False),
    "a long line": (MAGIC + b'{"log": "' + b"x" * 10_000_000 + b'"}\n', False),
    "an error": (
        MAGIC
        + _message(error={"side": "x", "lost": False, "bytes": 0, "message": ODD, "detail": [ODD]}),
        False,
    ),
    "a failure": (
        MAGIC + _result(failed=True, msg=ODD, tm_detail=[ODD] * 100_000),
        False,
    ),
    "sentences": (MAGIC + _result(tm_log=[ODD] * 100), True),
    "log lines": (MAGIC + _message(log=ODD) * 100 + _result(), True),
    "progress": (
        MAGIC
        + _message(progress={"done": 1, "size": 9, "bytes": 1, "name": ODD}) * 50_000
        + _result(),
        True,
    ),
    "an action": (
        MAGIC + _message(log='x\ntm_action: {"begun": 1}') + _result(),
        True,
    ),
}


# One of each kind is tried at every change, all of them with all actions now and then.
SOME = (
    *(("nothing", "MKSWAP"), ("noise", "CLONE"), ("no JSON", "MKSWAP"), ("facts", "MKSWAP")),
    *(("deep", "MKSWAP"), ("a long line", "CLONE"), ("an error", "CLONE"), ("a failure", "DELETE")),
    *(
        ("sentences", "MKSWAP"),
        ("log lines", "CLONE"),
        ("progress", "CLONE"),
        ("an action", "CLONE"),
    ),
)
ALL = [
    pytest.param(said, verb, marks=[] if (said, verb) in SOME else pytest.mark.long)
    for said, verb in product(ANSWERS, ("MKSWAP", "CLONE", "DELETE"))
]


@pytest.mark.parametrize(("said", "verb"), ALL)
def test_answer_of_a_host_is_data(place: Place, said: str, verb: str) -> None:
    """A forged, broken or endless answer is an answer at most: one reply, clean, not executed."""
    answer, may_pass = ANSWERS[said]
    place.let_say(answer)
    before = resident_mib(place.oned.process.pid)
    done = place.oned.transfer(7, _script(place, verb))
    assert may_pass or not done.ok
    if not done.ok:
        assert done.reason.startswith(f"{verb} node2: "), done.reason
        assert "Traceback" not in done.reason
        assert "Unexpected failure" not in done.reason
    assert len(done.log) < 500
    assert f"{verb} node2: forged" not in done.log
    assert FORGED not in place.oned.lines
    assert resident_mib(place.oned.process.pid) < before + SPARE_MIB
    assert place.oned.transfer(8, _script(place, "MKSWAP", "node1")).ok


def _script(place: Place, verb: str, host: str = "node2") -> str:
    disk = f"{host}:{place.site.vm_dir(7 if host == 'node2' else 8)}/images/disk.1"
    words = {"MKSWAP": f"1 {disk}", "CLONE": f"fe:{place.site.images}/a.img {disk}", "DELETE": disk}
    return f"{verb} {words[verb]}\n"


@pytest.mark.parametrize("verb", ["MKSWAP", "CLONE", "DELETE"])
def test_template_in_an_answer_stays_text(place: Place, verb: str) -> None:
    """What a host says is not looked into for templates, by our tasks or by those behind them."""
    code = LOOKUP.format(place.canaries)
    texts = {"path": code, "state": code, "destination": code, "uuid": code}
    place.let_say(MAGIC + _result(**texts, tm_log=[code]))
    done = place.oned.transfer(7, _script(place, verb))
    assert done.ok, done.reason
    place.let_say(MAGIC + _result(failed=True, msg=code, tm_detail=[code]))
    assert not place.oned.transfer(7, _script(place, verb)).ok
    assert not hostile.made(place.canaries)


def test_template_in_what_a_move_has_told_stays_text(place: Place) -> None:
    """The state that a receiver tells goes to the sender's host as data."""
    code = LOOKUP.format(place.canaries)
    place.let_say(MAGIC + _result(state=code, destination=code))
    disk = place.site.vm_dir(7) / "images" / "disk.0"
    assert place.oned.transfer(7, f"CLONE fe:{place.site.images}/a.img node1:{disk}\n").ok
    done = place.oned.transfer(7, f"MV node1:{disk} node2:{disk}\n")
    assert not done.ok  # the source is not what that state says, and stays
    assert place.oned.transfer(7, f"MV node1:{disk} node1:{disk}.kept\n").ok
    assert not hostile.made(place.canaries)


def test_complaints_of_a_host_are_bounded(place: Place) -> None:
    """Megabytes of control characters on standard error end as a short reason and a short block."""
    place.let_say(b"", stderr=(b"\x1b[2J" + ODD.encode()) * 100_000)
    done = place.oned.transfer(7, _script(place, "MKSWAP"))
    assert not done.ok
    assert len("\n".join(place.oned.logs(-1)[-300:])) < 100_000
    assert FORGED not in place.oned.lines


class Babble(socketserver.BaseRequestHandler):
    """Speaks at once, and no ssh."""

    text = b""

    def handle(self) -> None:
        """Say the text a thousand times, or until nobody listens."""
        for _ in range(1000):
            self.request.sendall(self.text)


@pytest.mark.parametrize(
    "text", [b"\x1b[31m{{ 7*7 }}\r\n" * 50, b"SSH-2.0-x\x1b[2J\r\n", b"\0" * 999]
)
def test_server_that_speaks_no_ssh(tmp_path: Path, text: bytes) -> None:
    """What answers on the port may say anything: the host cannot be reached, and that is said."""
    handler = type("Speaking", (Babble,), {"text": text})
    with serving(handler) as address:
        port = address.partition(":")[2]
        (tmp_path / "hosts.ini").write_text(f"bad ansible_host=127.0.0.1 ansible_port={port}\n")
        site = Site(tmp_path, "ssh").install("engine: {warm: false}\n", [tmp_path / "hosts.ini"])
        with site.start() as oned:
            done = oned.transfer(7, f"MKSWAP 1 bad:{site.vm_dir(7)}/disk.1\n")
    assert not done.ok
    assert done.reason.startswith("MKSWAP bad: cannot reach bad: "), done.reason
