"""A job under way in a worker: what is told of it, how long it may take, how it ended."""

from collections.abc import Iterator

from tm_ansible.engine.bounds import Bounds
from tm_ansible.engine.events import Event
from tm_ansible.engine.job import Begun, Job, News, Outcome
from tm_ansible.engine.limits import Limits
from tm_ansible.engine.report import Report


class UnderWay:
    """One job, from its first event to its outcome."""

    def __init__(self, job: Job, marker_play: str) -> None:
        """Start its clocks.

        Args:
            job: what is to be done.
            marker_play: name of the empty play in front of each action.
        """
        self._report = Report(labels=job.labels, marker=marker_play)
        self._limits = Limits(job.options.action_seconds, job.options.silence_seconds)
        self._bounds = Bounds()

    @property
    def has_begun(self) -> bool:
        """Tell whether an action has."""
        return bool(self._report.begun)

    def hear(self, event: Event) -> Iterator[News | Begun]:
        """Take note of an event.

        Args:
            event: of this job.

        Yields:
            What is to be told of it.
        """
        before = len(self._report.begun)
        news = self._report.feed(event)
        now = len(self._report.begun)
        yield from self._bounds.within(now, news)
        if now > before:
            yield Begun(self._report.label)
        self._limits.saw(now)

    def note(self) -> Iterator[News]:
        """Yield what is to be told once nothing more will be heard."""
        yield from self._bounds.note()

    def exceeded(self) -> str:
        """Tell which limit is over, if one is; else ``""``."""
        return self._limits.exceeded()

    def outcome(self, exit_status: int | None) -> Outcome:
        """Tell how it ended, with ansible-playbook.

        Args:
            exit_status: of ansible-playbook; None if it could not be started.
        """
        return self._report.outcome(exit_status)

    def finished(self) -> Outcome:
        """Tell how it ended, if its task says that all is done."""
        return self._report.unless_missed()

    def failed(self, cause: str, *, cancelled: bool = False) -> Outcome:
        """Tell that it was ended.

        Args:
            cause: why.
            cancelled: whether that was asked for.
        """
        return Outcome(reason=f"{self._report.label}: {cause}", cancelled=cancelled)
