"""An engine that runs nothing: tests decide when its runs speak and how they end."""

import queue
import threading
from collections.abc import Callable

from tm_ansible.engine.job import Job, Line, News, Outcome, Severity, Site
from tm_ansible.errors import EngineError


class FakeRun:
    """A run in the hands of a test.

    Attributes:
        job: what was asked for.
        cancelled: set when the driver asks for the end.
    """

    def __init__(self, job: Job, listener: Callable[[News], None]) -> None:
        """Begin; the run lasts until ``finish``."""
        self.job = job
        self.cancelled = threading.Event()
        self._listener = listener
        self._ended = threading.Event()
        self._outcome = Outcome()

    def say(self, text: str, severity: Severity = Severity.INFO) -> None:
        """Report a line."""
        self._listener(Line(severity=severity, text=text))

    def report(self, news: News) -> None:
        """Report anything."""
        self._listener(news)

    def finish(self, outcome: Outcome | None = None) -> None:
        """End the run; successfully unless told otherwise."""
        self._outcome = outcome or Outcome()
        self._ended.set()

    def wait(self) -> Outcome:
        """Block until ``finish``."""
        self._ended.wait()
        return self._outcome

    def cancel(self) -> None:
        """Note that the end is asked for; the run still lasts until ``finish``."""
        self.cancelled.set()


class FakeEngine:
    """Hands each run to the test that asks for the next one.

    Attributes:
        refusal: a text makes every start fail with it.
    """

    def __init__(self) -> None:
        """Begin with no runs."""
        self.refusal = ""
        self._runs: queue.SimpleQueue[FakeRun] = queue.SimpleQueue()

    def warm_up(self, site: Site) -> None:
        """There is nothing to make ready."""

    def close(self) -> None:
        """There is nothing to end."""

    def start(self, job: Job, listener: Callable[[News], None]) -> FakeRun:
        """Start a run that does nothing by itself.

        Args:
            job: what to do.
            listener: called with each line.

        Returns:
            The run.

        Raises:
            EngineError: ``refusal`` is set.
        """
        if self.refusal:
            raise EngineError(self.refusal)
        run = FakeRun(job, listener)
        self._runs.put(run)
        return run

    def next_run(self, timeout: float = 5) -> FakeRun:
        """Wait for the oldest run that was not asked for yet.

        Args:
            timeout: longest wait in seconds.

        Returns:
            The run.

        Raises:
            queue.Empty: nothing was started in time.
        """
        return self._runs.get(timeout=timeout)

    def idle(self) -> bool:
        """Tell whether every run that was started has been asked for."""
        return self._runs.empty()
