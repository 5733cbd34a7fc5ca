"""Time limits of a run: of one action, and of silence."""

import time
from collections.abc import Callable


class Limits:
    """Clock of the action under way. The monotonic clock: a changed date ends nothing."""

    def __init__(
        self,
        action_seconds: float,
        silence_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            action_seconds: how long one action may take; 0 for no limit.
            silence_seconds: how long nothing may be heard; 0 for no limit.
            clock: tells the time in seconds.
        """
        self.action_seconds = action_seconds
        self.silence_seconds = silence_seconds
        self._clock = clock
        self._action = 0
        self._began = self._heard = clock()

    def saw(self, action: int) -> None:
        """Note that something was heard.

        Args:
            action: number of the action under way.
        """
        self._heard = self._clock()
        if action != self._action:
            self._action, self._began = action, self._heard

    def exceeded(self) -> str:
        """Tell which limit is over, if one is, with the setting that holds it; else ``""``."""
        now = self._clock()
        if self.action_seconds and now - self._began > self.action_seconds:
            return f"not finished within {self.action_seconds:g} s (setting limits.action_seconds)"
        if self.silence_seconds and now - self._heard > self.silence_seconds:
            return f"nothing heard for {self.silence_seconds:g} s (setting limits.silence_seconds)"
        return ""
