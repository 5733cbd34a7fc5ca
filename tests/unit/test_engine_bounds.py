"""What a run may say of itself: the first lines of each action, and the last of a failure."""

import os

import msgspec

from tm_ansible.engine.bounds import (
    DETAIL_LINES,
    LINE_CHARACTERS,
    MOST_CHARACTERS,
    MOST_LINES,
    Bounds,
    bounded,
)
from tm_ansible.engine.job import Line, Message, News, Outcome, Progress, Severity
from tm_ansible.engine.worker import _Messages


def lines(count: int, text: str = "x") -> list[News]:
    """Give so many lines."""
    return [Line(Severity.INFO, text)] * count


def test_every_line_of_a_modest_action_is_passed_on() -> None:
    """Nothing is left out, and nothing is said about it."""
    bounds = Bounds()
    assert list(bounds.within(1, lines(MOST_LINES))) == lines(MOST_LINES)
    assert list(bounds.note()) == []


def test_lines_beyond_the_limit_are_counted() -> None:
    """The note says how many; it comes before the next action's lines, which count anew."""
    bounds = Bounds()
    first = list(bounds.within(1, lines(MOST_LINES + 5)))
    note, *rest = bounds.within(2, lines(3))
    assert len(first) == MOST_LINES
    text = "5 more lines left out: too many of one action"
    assert note == Line(Severity.WARNING, text)
    assert rest == lines(3)
    assert list(bounds.note()) == []


def test_long_lines_are_cut_and_count_by_length() -> None:
    """A line has a longest length, and all lines of an action have one together."""
    bounds, text = Bounds(), "y" * (MOST_CHARACTERS // 4)
    passed = list(bounds.within(1, lines(6, text)))
    assert [len(each.text) for each in passed if isinstance(each, Line)] == [LINE_CHARACTERS] * 4
    assert passed[0].text.endswith(" [cut]") if isinstance(passed[0], Line) else False
    assert len(list(bounds.note())) == 1


def test_progress_is_no_line() -> None:
    """Who watches goes on hearing of progress."""
    bounds, moving = Bounds(), Progress("CLONE n", "a", 1, 1, 1)
    assert list(bounds.within(1, [*lines(MOST_LINES + 1), moving]))[-1] == moving


def test_outcome_fits_a_message_whatever_it_says() -> None:
    """The reason and each line are cut; of many lines the last are kept."""
    detail = tuple(f"{number} " + "\x1b" * 100_000 for number in range(10_000))
    outcome = bounded(Outcome(reason="\x1b" * 1_000_000, detail=detail))
    assert len(msgspec.json.encode(outcome)) < 1 << 20
    assert len(outcome.detail) == DETAIL_LINES
    assert outcome.detail[-1].startswith("9999 ")
    assert outcome.detail[0] == f"… {10_000 - DETAIL_LINES + 1} lines before these …"


def test_success_and_short_failures_stay_as_they_are() -> None:
    """What is within bounds is not touched."""
    for outcome in (Outcome(), Outcome(reason="no", detail=("a", "b")), Outcome(cancelled=True)):
        assert bounded(outcome) == outcome


def written(said: list[Message]) -> list[Message]:
    """Give what the driver reads of messages that a worker writes."""
    reading, writing = os.pipe()
    messages = _Messages(writing)
    for each in said:
        messages.put(each)
    messages.close()
    with os.fdopen(reading, "rb") as stream:
        return [msgspec.json.decode(line, type=Message) for line in stream]


def test_what_is_no_text_stops_no_messages() -> None:
    """Names on a host may be any bytes, and JSON may hold half a character."""
    bounds, odd = Bounds(), "a\ud800b\udcffc \U0001f600"
    news = [Line(Severity.INFO, odd), Progress("CLONE n", odd, 1, 1, 1), *lines(1)]
    outcome = Outcome(reason=odd, detail=("x", odd))
    shown = r"a\ud800b\udcffc " + "\U0001f600"
    assert written([*bounds.within(1, news), bounded(outcome)]) == [
        Line(Severity.INFO, shown),
        Progress("CLONE n", shown, 1, 1, 1),
        *lines(1),
        Outcome(reason=shown, detail=("x", shown)),
    ]


def test_an_outcome_of_what_is_no_text_fits_a_message() -> None:
    """Lone surrogates take more room than they had."""
    outcome = bounded(Outcome(reason="\ud800" * 1_000_000, detail=("\udcff" * 100_000,) * 10_000))
    assert len(msgspec.json.encode(outcome)) < 1 << 20
