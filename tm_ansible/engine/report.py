"""From Ansible's events to the lines of a VM's log, and to the outcome of a job."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tm_ansible.engine.causes import ending, plain_cause, plain_complaint
from tm_ansible.engine.events import (
    ActionBegun,
    Complaint,
    Ended,
    Event,
    Moving,
    NoHosts,
    PlayStarted,
    Printed,
    Said,
    TaskEnded,
    TaskFailed,
)
from tm_ansible.engine.job import Line, News, Outcome, Progress, Severity

# Of what Ansible prints when it gives up, for the error block.
_MOST_LINES = 20

# Tasks that prepare others, or say themselves what is to be said.
_SILENT = frozenset(
    (
        "ansible.builtin.add_host",
        "ansible.builtin.assert",
        "ansible.builtin.gather_facts",
        "ansible.builtin.group_by",
        "ansible.builtin.import_role",
        "ansible.builtin.import_tasks",
        "ansible.builtin.include_role",
        "ansible.builtin.include_tasks",
        "ansible.builtin.include_vars",
        "ansible.builtin.meta",
        "ansible.builtin.set_fact",
        "ansible.builtin.setup",
        "ansible.builtin.validate_argument_spec",
        "one.tm.log",
    )
)


@dataclass(slots=True)
class _Progress:
    """What one action has shown so far."""

    label: str
    lines: int = 0
    seconds: float = 0.0
    ran: bool = False


@dataclass(slots=True)
class Report:
    """Follows a run, event by event.

    Attributes:
        labels: of the job's actions, in order.
        marker: the name that a play has which only tells that the next action begins.
    """

    labels: Sequence[str]
    marker: str
    begun: list[_Progress] = field(default_factory=list)
    failure: TaskFailed | None = None
    complaint: list[str] = field(default_factory=list)
    ended: bool = False

    def feed(self, event: Event) -> Sequence[News]:
        """Take note of an event.

        Returns:
            The lines that the VM's log gets for it, or the progress that it tells.
        """
        match event:
            case PlayStarted(name) if name == self.marker:
                return self._begin_next()
            case ActionBegun() if len(self.begun) < len(self.labels):
                return self._begin_next()
            case PlayStarted() | NoHosts() if self.begun:
                self.begun[-1].ran = False
            case Said() | Moving():
                return [self._news(event)]
            case TaskEnded() if self.begun:
                return self._task_ended(event, self.begun[-1])
            case TaskFailed():
                self.failure = event
            case Complaint(text) if not self.complaint:
                self.complaint = [text]
            case Printed(text) if 0 < len(self.complaint) < _MOST_LINES:
                self.complaint.append(text)
            case Ended():
                self.ended = True
                return self._close()
        return []

    def outcome(self, exit_status: int | None) -> Outcome:
        """Tell how the job ended.

        Args:
            exit_status: of ansible-playbook; None if it could not be started.

        Returns:
            Success only if Ansible ended well and every action was seen to run.
        """
        if exit_status == 0 and self.ended:
            return self.unless_missed()
        if self.failure is not None:
            return self._failed(self.failure)
        cause = "cannot start ansible-playbook"
        if exit_status is not None:
            cause = f"ansible-playbook {ending(exit_status)}"
        if self.complaint:
            cause = plain_cause([plain_complaint(self.complaint)])
        return Outcome(reason=f"{self.label}: {cause}", detail=tuple(self.complaint))

    def unless_missed(self) -> Outcome:
        """Tell how the job ended if nothing failed: success only if every action was seen."""
        if len(self.begun) < len(self.labels):
            missed = self.labels[len(self.begun)]
            return Outcome(reason=f"{missed}: Ansible ended before it began")
        for action in self.begun:
            if not action.ran:
                return Outcome(
                    reason=f"{action.label}: its playbook ended without a task on any host; "
                    "its last play must match a host and run a task"
                )
        return Outcome()

    @property
    def label(self) -> str:
        """The label of the action under way."""
        return self.begun[-1].label if self.begun else self.labels[0]

    def _begin_next(self) -> list[Line]:
        lines = self._close()
        self.begun.append(_Progress(self.labels[len(self.begun)]))
        return lines

    def _close(self) -> list[Line]:
        """End the action under way; one that has said nothing gets its line here."""
        if not self.begun or self.begun[-1].lines or self.failure or not self.begun[-1].ran:
            return []
        return [self._line(f"done{_duration(self.begun[-1].seconds, changed=True)}")]

    def _news(self, event: Said | Moving) -> News:
        if isinstance(event, Said):
            return self._line(event.text, event.severity)
        return Progress(self.label, event.name, event.size, event.done, event.moved)

    def _task_ended(self, event: TaskEnded, action: _Progress) -> list[Line]:
        action.ran = True
        action.seconds += event.seconds
        if event.skipped or event.module in _SILENT:
            return []
        took = "" if event.timed else _duration(event.seconds, changed=event.changed)
        end = _place(event.elsewhere) + took
        if event.sentences:
            return [
                *(self._line(sentence) for sentence in event.sentences[:-1]),
                self._line(event.sentences[-1] + end),
            ]
        if event.module == "ansible.builtin.debug":
            return [self._line(event.message)] if event.message else []
        return [] if event.from_role else [self._line(event.task + end)]

    def _line(self, text: str, severity: Severity = Severity.INFO) -> Line:
        if self.begun:
            self.begun[-1].lines += 1
        return Line(severity, f"{self.label}: {text}")

    def _failed(self, failure: TaskFailed) -> Outcome:
        cause = plain_cause(failure.texts)
        if failure.unreachable:
            cause = f"cannot reach {failure.host}: {cause}"
        elif failure.host not in ("", "localhost", self.label.partition(" ")[2]):
            cause = cause if failure.host in cause else f"{cause} (on {failure.host})"
        detail = (f"task: {failure.task}", *failure.detail)
        return Outcome(reason=f"{self.label}: {cause}", detail=detail)


def _place(host: str) -> str:
    """Where a task was delegated to, behind its sentence."""
    if not host:
        return ""
    return " on the front-end" if host == "localhost" else f" on {host}"


def _duration(seconds: float, *, changed: bool) -> str:
    """How long it took; in brackets where nothing had to be done."""
    text = f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f" in {text}" if changed else f" ({text})"
