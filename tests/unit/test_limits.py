"""Time limits of a run."""

import pytest

from tm_ansible.engine.limits import Limits


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that the test sets."""
    return Clock()


def test_no_limit_is_never_exceeded(clock: Clock) -> None:
    """0 means no limit."""
    limits = Limits(0, 0, clock)
    clock.now += 1e9
    assert limits.exceeded() == ""


def test_action_limit_names_its_setting(clock: Clock) -> None:
    """The reason tells which setting to raise."""
    limits = Limits(60, 0, clock)
    clock.now += 61
    assert limits.exceeded() == "not finished within 60 s (setting limits.action_seconds)"


def test_each_action_has_the_whole_limit(clock: Clock) -> None:
    """The clock starts anew with each action."""
    limits = Limits(60, 0, clock)
    clock.now += 50
    limits.saw(1)
    clock.now += 50
    limits.saw(1)
    assert limits.exceeded() == ""
    clock.now += 11
    assert limits.exceeded()


def test_silence_is_measured_from_the_last_sign(clock: Clock) -> None:
    """Any event proves life."""
    limits = Limits(0, 30, clock)
    clock.now += 29
    limits.saw(0)
    clock.now += 29
    assert limits.exceeded() == ""
    clock.now += 2
    assert "limits.silence_seconds" in limits.exceeded()
