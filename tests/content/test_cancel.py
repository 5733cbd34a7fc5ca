"""A relay that is told to end, and one that dies, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import files, identity
from streams import PLACE, SEND, TOKEN, copy, names, temporaries
from worlds import ROOT

from tests.support.processes import wait_until

MIB = 1 << 20

# Segments are small, so that the copy takes its time and there is something to keep.
CONTROLLER = """
import json, os, signal, sys
from ansible_collections.one.tm.plugins.plugin_utils import farside, relay

from ansible_collections.one.tm.plugins.module_utils import outgoing
outgoing.SEGMENT_BYTES, outgoing.SEGMENT_SECONDS = 8 << 20, 0.0
source_of = farside._source
def patched(name):
    text = source_of(name)
    if name == "outgoing":
        text = text.replace("SEGMENT_BYTES = 64 << 20", "SEGMENT_BYTES = 8 << 20")
        text = text.replace("SEGMENT_SECONDS = 1.0", "SEGMENT_SECONDS = 0.0")
    return text
farside._source = patched

class Here:
    name, python, is_ssh, is_this_user_here = "here", sys.executable, False, False
    def __init__(self, forks=False):
        self.is_this_user_here = forks
    def argv(self, command):
        return ["/bin/sh", "-c", "exec " + command]

send, receive, token, forks = json.loads(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_event: os.write(1, b"previous handler") and os._exit(7))
done = relay.Relay(lambda **_progress: None, 60, token).run(
    relay.Part(Here(forks), "stream", ("send", send)),
    relay.Part(Here(), "stream", ("receive", receive)),
)
print(json.dumps(done))
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give an image of many segments."""
    path, block = tmp_path / "base.img", os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(192):
            file.write(block)
    return path


@contextmanager
def under_way(image: Path, final: Path, forks: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Give a controller once a segment is proven; its sender may be a fork of it."""
    final.parent.mkdir()
    send = {**SEND, "source": str(image)}
    receive = {**PLACE, "source": str(image), "destination": str(final)}
    with subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, json.dumps([send, receive, TOKEN, forks])],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".collections"), "TEST_OF": str(final)},
    ) as process:
        note = Path(files.temporary_name(str(final), "proven"))
        wait_until(note.exists, 30)
        try:
            yield process
        finally:
            process.kill()


def programs_of(final: Path) -> list[int]:
    """List the processes that a controller started, and the controller."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"TEST_OF={final}".encode() in environment:
            found.append(int(entry.name))
    return found


def test_told_to_end(image: Path, tmp_path: Path) -> None:
    """A cancelled copy leaves nothing, soon, and the signal has its former effect."""
    final = tmp_path / "to" / "disk.0"
    with under_way(image, final) as process:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _errors = process.communicate(timeout=20)
        assert time.monotonic() - began < 15
    assert (process.returncode, output) == (7, b"previous handler")
    assert names(final.parent) == []
    assert programs_of(final) == []


def test_a_fork_that_is_told_first(image: Path, tmp_path: Path) -> None:
    """A sender that the engine cannot tell from the relay outlives the signal until it is over."""
    final = tmp_path / "to" / "disk.0"
    with under_way(image, final, forks=True) as process:
        for pid in set(programs_of(final)) - {process.pid}:
            if b"TM_ANSIBLE_LAST=1" not in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 7
    assert names(final.parent) == []
    assert programs_of(final) == []


def test_killed(image: Path, tmp_path: Path) -> None:
    """A controller that dies leaves what is proven, which the next copy goes on with."""
    final = tmp_path / "to" / "disk.0"
    with under_way(image, final) as process:
        process.kill()
        wait_until(lambda: not programs_of(final), 10)
    assert temporaries(final.parent) == ["part", "proven"]
    assert copy(image, final).result["resumed"] >= MIB
    assert final.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("victim", ["send", "receive"])
def test_a_side_is_killed(image: Path, tmp_path: Path, victim: str) -> None:
    """Either program may die: what is proven stays, and the failure is told."""
    final = tmp_path / "to" / "disk.0"
    with under_way(image, final) as process:
        children = sorted(pid for pid in programs_of(final) if pid != process.pid)
        # The receiver is started first.
        os.kill(children[0] if victim == "receive" else children[1], signal.SIGKILL)
        process.communicate(timeout=20)
    assert process.returncode == 1
    assert temporaries(final.parent) == ["part", "proven"]
    assert copy(image, final).result["resumed"] >= MIB
    assert final.read_bytes() == image.read_bytes()


def test_the_engine_tells_them_last(image: Path, tmp_path: Path) -> None:
    """What the relay starts is marked, so that it is not told to end before the relay is."""
    with under_way(image, tmp_path / "to" / "disk.0") as process:
        children = [pid for pid in programs_of(tmp_path / "to" / "disk.0") if pid != process.pid]
        marks = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in children]
    assert len(marks) == 2
    assert all(b"TM_ANSIBLE_LAST=1" in mark for mark in marks)


def test_same_host(tmp_path: Path) -> None:
    """Where it is asked for, one host is told as one before anything is made or sent."""
    image = tmp_path / "base.img"
    image.write_bytes(b"data")
    final = tmp_path / "to" / "disk.0"
    copied = copy(image, final, local=True)
    assert copied.messages == [{"result": {"same_host": True}}]
    assert not final.parent.exists()


ANOTHER_ROOT = """
import os, shutil, subprocess, sys
from ansible_collections.one.tm.plugins.module_utils import identity

here, root = identity.host(), sys.argv[1]
os.makedirs(root + "/proc")
os.makedirs(root + "/etc")
if os.path.exists(identity.MACHINE):
    shutil.copy(identity.MACHINE, root + "/etc")
subprocess.run(["mount", "--rbind", "/proc", root + "/proc"], check=True)
os.chroot(root)
there = identity.host()
assert (there["boot"], there["machine"]) == (here["boot"], here["machine"])
assert there["mounts"]
print(identity.is_here(here))
"""


def test_another_root(tmp_path: Path) -> None:
    """A program with another root directory sees other files, though all else is the same."""
    command = ["unshare", "--mount", sys.executable, "-c", ANOTHER_ROOT, str(tmp_path / "root")]
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("chroot(2) and a mount namespace need root")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".collections")}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    assert ended.stdout == b"False\n"


@pytest.mark.parametrize("key", ["boot", "mounts", "machine"])
def test_another_host(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another boot, another view of the files or another machine is another host."""
    other = {**identity.host(), key: "other"}
    assert identity.is_here(identity.host())
    assert not identity.is_here(other)
    nobody = dict.fromkeys(other, "")
    monkeypatch.setattr(identity, "host", lambda: nobody)
    assert not identity.is_here(nobody)
