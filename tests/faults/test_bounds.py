"""Much of everything: lines, bytes, long scripts, and an oned that does not read."""

import os
import re
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.forms import in_full
from tests.support.oned import as_oned, driver_command
from tests.support.processes import resident_mib, wait_until
from tests.support.site import Site

# What a driver may grow by, whatever happens: what waits for a slow oned included.
SPARE_MIB = 64
LOUD = """\
- name: Be loud
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say much
      one.tm.log:
        message: "{{ range(COUNT) | map('string') | map('regex_replace', '$', ' of many') | list }}"
    - name: Say it in one line
      one.tm.log:
        message: "{{ 'long ' * 2000000 }}"
    - name: Say it in a result
      ansible.builtin.debug:
        msg: "{{ 'long ' * 100000 }}"
"""
FAILING = """\
- name: Fail loudly
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Complain
      ansible.builtin.fail:
        msg: "{{ '\\x1b[31mred' * 50000 }}"
"""
# Lines, one of 10 MB, control characters, broken UTF-8; and it fails if it is asked to.
SPEAKING = """\
#!/bin/sh
yes 'one line of many' | head -n COUNT
head -c 10000000 /dev/zero | tr '\\0' x
printf '\\n\\033[31mred\\033]0;title\\007\\377\\376\\300\\257 \\342\\200\\256 end\\r\\n'
yes 'one complaint of many' | head -n COUNT >&2
printf '\\033[2J\\377 the last complaint\\n' >&2
case $1 in *fail*) exit 3;; esac
"""
# Three megabytes in lines of ten thousand bytes.
CHATTING = """\
#!/bin/sh
line=$(head -c 10000 /dev/zero | tr '\\0' x)
for number in $(seq 300); do echo "$number $line"; done
echo said >>'DONE'
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a site whose action scripts and playbooks a test writes."""
    return Site(tmp_path / "site", "nfs").install("engine: {warm: true}\nconcurrency: 20\n")


@dataclass(slots=True)
class Memory:
    """Looks at how much memory a process has."""

    pid: int
    first: float = 0.0
    most: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)

    def _look_on(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, resident_mib(self.pid))

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Look on while the block runs, and check that it grew by no more than it may."""
        self.first = self.most = resident_mib(self.pid)
        thread = threading.Thread(target=self._look_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
        assert self.most < self.first + SPARE_MIB


@pytest.mark.long
@pytest.mark.parametrize("count", [10_500, 100_000])
def test_playbook_that_says_too_much(site: Site, count: int) -> None:
    """100,000 log lines, one of 10 MB: the first 10,000 of an action, and a note of the rest."""
    site.set_program("CLONE", "loud.yml", LOUD.replace("COUNT", str(count)))
    site.set_program("LN", "fail.yml", FAILING)
    with site.start() as oned:
        oned.wait_warm()
        with Memory(oned.process.pid).bounded():
            done = oned.transfer(7, f"CLONE fe:/a fe:/b\nMKSWAP 1 fe:{site.vm_dir(7)}/d\n", 600)
        assert done.ok, done.reason
        noted = [line for line in done.log if "more lines left out" in line]
        assert noted == [f"{count + 2 - 10_010} more lines left out: too many of one action"]
        assert done.log[0] == "CLONE fe: 0 of many"
        assert done.log[-1].startswith("MKSWAP fe: ")
        assert len(done.log) < 10_030
        failed = oned.transfer(8, "LN fe:/a fe:/b\n")
        assert failed.reason.startswith(r"LN fe: \x1b[31mred"), failed.reason[:200]


@pytest.mark.parametrize("ending", [pytest.param("well", marks=pytest.mark.long), "fail"])
def test_script_that_says_too_much(site: Site, ending: str) -> None:
    """Lines, a line of 10 MB, escape codes, broken UTF-8: cut, cleaned, counted, and answered."""
    site.set_program("CLONE", "speak", SPEAKING.replace("COUNT", "100000"))
    with site.start() as oned:
        oned.wait_warm()
        with Memory(oned.process.pid).bounded():
            done = oned.transfer(7, f"CLONE fe:/{ending} fe:/b\n", 200)
        assert done.ok == (ending == "well")
        assert done.ok or "the last complaint" in done.reason
        noted = [line for line in done.log if "more lines left out" in line]
        assert noted == ["CLONE fe: 90002 more lines left out"]
        assert len(done.log) < 10_030
        block = "\n".join(oned.logs(-1))
        assert len(block) < 100_000


SCRIPTS = {
    "a million lines": (b"x\n" * 1_000_000, "is larger than 1048576 bytes"),
    "an endless line": (b"CLONE " + b"x" * (1 << 21), "is larger than 1048576 bytes"),
    "too many actions": (b"MKSWAP 1 fe:/d\n" * 10_001, "line 10001: more than 10000 actions"),
    "binary": (bytes(range(256)) * 100, "is binary: it holds NUL bytes"),
    "not UTF-8": (b"MKSWAP 1 fe:/\xff\n" * 10, "is not UTF-8 (line 1)"),
    "a million blank lines": (b"\n" * 1_000_000, "-"),
    "nothing": (b"", "-"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_of_any_size(site: Site, name: str) -> None:
    """Scripts of 1 M lines, binary ones and the like are refused at once, with the reason."""
    text, reason = SCRIPTS[name]
    with site.start() as oned:
        with Memory(oned.process.pid).bounded():
            done = oned.transfer(7, text, 60)
        assert done.ok == (reason == "-")
        assert reason in done.reason


def test_script_of_a_gigabyte(site: Site) -> None:
    """Only what a script may have is read of it."""
    with site.start() as oned:
        path = oned.var / "huge"
        with path.open("wb") as file:
            file.truncate(1 << 30)
        with Memory(oned.process.pid).bounded():
            oned.send(f"TRANSFER 7 {path}")
            reply = oned.wait_reply(7, 5)
        assert "is larger than 1048576 bytes" in reply.reason


@pytest.mark.parametrize("seconds", [4, *in_full(60)])
def test_oned_reads_nothing_for_a_while(site: Site, seconds: int) -> None:
    """A slow oned costs old log lines, of which a note tells, and no reply; stdin is read on."""
    said = site.location / "said"
    site.set_program("CLONE", "chat", CHATTING.replace("DONE", str(said)))
    argument = "tm_ansible_nfs/tm_ansible_nfs.conf"
    environment = {"ONE_LOCATION": str(site.location), "PATH": "/usr/bin:/bin"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    (site.location / "var").mkdir()
    count = 12
    with as_oned(driver_command(), argument, environment, site.location) as driver:
        try:
            _ask(driver, b"INIT\n")
            for vm_id in range(count):
                _ask(driver, b"TRANSFER %d %s\n" % (vm_id, _chat(site, vm_id)))
            with Memory(driver.pid).bounded():
                time.sleep(seconds)
                wait_until(lambda: said.exists() and said.read_text() == "said\n" * count, 90)
                _ask(driver, b"TRANSFER 1000 /no/such/script\n")
                text = _read_replies(driver, count + 1)
            _ask(driver, b"FINALIZE\n")
            assert driver.wait(10) == 0
        finally:
            driver.kill()
    _check_replies(text, [*range(count), 1000])


def _chat(site: Site, vm_id: int) -> bytes:
    path = site.location / "var" / f"script.{vm_id}"
    path.write_text(f"CLONE fe:/a node{vm_id}:/b\n")
    return os.fsencode(path)


def _ask(driver: "object", data: bytes) -> None:
    stdin = driver.stdin  # type: ignore[attr-defined]
    assert select.select([], [stdin], [], 5)[1], "the driver does not read"
    os.write(stdin.fileno(), data)


def _read_replies(driver: "object", count: int) -> bytes:
    """Read until so many replies have come."""
    stdout, text, replies = driver.stdout, bytearray(), 0  # type: ignore[attr-defined]
    deadline = time.monotonic() + 120
    while replies < count:
        assert select.select([stdout], [], [], max(0, deadline - time.monotonic()))[0]
        begin = text.rfind(b"\n") + 1  # only what is new: there may be many megabytes
        text += os.read(stdout.fileno(), 1 << 16)
        replies += len(re.findall(rb"(?m)^TRANSFER .*\n", text[begin:]))
    return bytes(text)


def _check_replies(text: bytes, vm_ids: list[int]) -> None:
    replies = re.findall(rb"(?m)^TRANSFER (?:SUCCESS|FAILURE) (\d+) ", text)
    assert sorted(map(int, replies)) == vm_ids
    noted = re.findall(rb"(?m)^LOG W -1 (\d+) log lines dropped", text)
    kept = len(re.findall(rb"(?m)^LOG I \d+ ", text))
    assert noted
    # Each line is several messages, since oned reads 4096 bytes of one.
    assert kept + sum(map(int, noted)) >= 12 * 300 * 2
