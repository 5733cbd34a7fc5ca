"""Writing to an oned that reads, reads slowly, or is gone."""

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterator

import pytest

from tm_ansible.engine.job import Severity
from tm_ansible.writer import Writer

SECONDS = 10


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe; what the test leaves open is closed."""
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def fail() -> None:
    """Be called when it must not be."""
    raise AssertionError("oned is not gone")


def read_until(descriptor: int, end: bytes) -> bytes:
    """Read until the data ends with something."""
    data = b""
    while not data.endswith(end):
        chunk = os.read(descriptor, 65536)
        assert chunk, data[-200:]
        data += chunk
    return data


def test_messages_leave_in_order(pipe: tuple[int, int]) -> None:
    """Replies and log lines leave in the order in which they were given."""
    writer = Writer(pipe[1], fail)
    writer.log(Severity.INFO, 7, "one")
    writer.reply(b"TRANSFER SUCCESS 7 -\n")
    writer.log(Severity.ERROR, 7, "two")
    assert read_until(pipe[0], b"two\n") == (b"LOG I 7 one\nTRANSFER SUCCESS 7 -\nLOG E 7 two\n")


def test_a_reply_is_noted_after_it_was_written(pipe: tuple[int, int]) -> None:
    """The callback comes when oned can read the reply, not before."""
    writer, noted = Writer(pipe[1], fail), threading.Event()
    os.write(pipe[1], b"x" * 65536)
    writer.answer(7, b"TRANSFER SUCCESS 7 -\n", noted.set)
    assert not noted.wait(0.05)
    read_until(pipe[0], b"-\n")
    assert noted.wait(SECONDS)


def test_a_slow_oned_costs_old_log_lines_and_no_reply(pipe: tuple[int, int]) -> None:
    """100,000 lines and 1,000 replies while oned sleeps: bounded, all replies, few notes."""
    writer = Writer(pipe[1], fail)
    for number in range(100_000):
        writer.log(Severity.INFO, 7, f"line {number} {'x' * 80}")
        if number % 100 == 0:
            writer.reply(b"TRANSFER SUCCESS %d -\n" % number)
            writer.log(Severity.ERROR, 7, f"error {number}")
    waiting = sum(lane.size for lane in (writer._routine, writer._serious))
    assert waiting <= 2 * 4 * 1024 * 1024
    writer.reply(b"LAST\n")
    text = read_until(pipe[0], b"LAST\n").decode()
    assert len(re.findall(r"^TRANSFER SUCCESS", text, re.MULTILINE)) == 1000
    assert len(re.findall(r"^LOG E 7 error", text, re.MULTILINE)) == 1000
    kept = [int(number) for number in re.findall(r"^LOG I 7 line (\d+)", text, re.MULTILINE)]
    dropped = [int(n) for n in re.findall(r"^LOG W -1 (\d+) log lines dropped", text, re.MULTILINE)]
    assert kept == sorted(kept)
    assert kept[-1] == 99_999
    assert len(kept) + sum(dropped) == 100_000
    assert len(dropped) < 10


def test_an_oned_that_is_gone_is_told_of_once(pipe: tuple[int, int]) -> None:
    """A broken pipe calls back, keeps no messages, and notes no reply as given."""
    gone, noted = threading.Event(), threading.Event()
    writer = Writer(pipe[1], gone.set)
    os.close(pipe[0])
    writer.answer(7, b"TRANSFER SUCCESS 7 -\n", noted.set)
    assert gone.wait(SECONDS)
    writer.log(Severity.INFO, 7, "to nobody")
    writer.flush(SECONDS)
    assert not noted.is_set()


def test_a_writer_that_cannot_go_on_ends_the_driver(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody expected is told of as a broken pipe is: a mute driver serves nobody."""

    def fail_oddly(_message: bytes) -> None:
        raise MemoryError

    gone = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda *_event: None)
    writer = Writer(pipe[1], gone.set)
    monkeypatch.setattr(writer, "_write", fail_oddly)
    writer.reply(b"TRANSFER SUCCESS 7 -\n")
    assert gone.wait(SECONDS)
    writer.flush(SECONDS)


def test_an_error_behind_a_reply_ends_nothing(pipe: tuple[int, int]) -> None:
    """What goes wrong while a reply is noted is no sign that oned is gone."""

    def fail_to_note() -> None:
        raise OSError(errno.EIO, "close failed")

    writer = Writer(pipe[1], fail)
    writer.answer(7, b"TRANSFER SUCCESS 7 -\n", fail_to_note)
    writer.reply(b"NEXT\n")
    assert read_until(pipe[0], b"NEXT\n") == b"TRANSFER SUCCESS 7 -\nNEXT\n"


def test_a_reply_that_oned_was_too_slow_for_can_be_withdrawn(pipe: tuple[int, int]) -> None:
    """Replies to one VM that wait behind other messages never leave, and are noted as settled."""
    writer, settled = Writer(pipe[1], fail), threading.Event()
    os.write(pipe[1], b"x" * 65536)
    writer.log(Severity.INFO, 7, "before")
    writer.answer(8, b"TRANSFER SUCCESS 8 -\n", lambda: None)
    writer.answer(7, b"TRANSFER SUCCESS 7 -\n", settled.set)
    writer.reply(b"LAST\n")
    assert writer.withdraw(7) == 1
    assert settled.is_set()
    assert writer.withdraw(7) == writer.withdraw(9) == 0
    left = read_until(pipe[0], b"LAST\n").lstrip(b"x")
    assert left == b"LOG I 7 before\nTRANSFER SUCCESS 8 -\nLAST\n"


def test_flush_waits_no_longer_than_told(pipe: tuple[int, int]) -> None:
    """Flushing ends when all is written, or when the time is over."""
    writer = Writer(pipe[1], fail)
    writer.reply(b"x\n")
    writer.flush(SECONDS)
    assert os.read(pipe[0], 10) == b"x\n"
    os.write(pipe[1], b"x" * 65536)
    writer.reply(b"y\n")
    writer.flush(0.05)
    read_until(pipe[0], b"y\n")
