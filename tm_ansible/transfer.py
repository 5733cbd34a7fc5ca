"""One TRANSFER of oned, from its acceptance to its only answer."""

import itertools
import logging
import threading
from dataclasses import dataclass
from functools import partial

from tm_ansible.actions import job_for
from tm_ansible.configuration import Configuration
from tm_ansible.engine.job import Engine, Job, Line, News, Outcome, Run, Severity
from tm_ansible.errors import EngineError, TmAnsibleError
from tm_ansible.journal import Journal
from tm_ansible.protocol import clean, render_reply
from tm_ansible.script import parse_script, read_script
from tm_ansible.shares import LOCAL, Obstacle
from tm_ansible.writer import Writer

_log = logging.getLogger(__name__)
_numbers = itertools.count(1)
# Lines of an error block: the answers of other VMs wait behind it. What went wrong stands last.
_MOST_DETAIL = 200


@dataclass(frozen=True, slots=True)
class Office:
    """What every transfer needs: who carries out, who answers, who remembers."""

    engine: Engine
    writer: Writer
    journal: Journal


def plan(vm_id: int, path: str, configuration: Configuration, token: str) -> Job | Outcome:
    """Read a transfer script and say what to do.

    Args:
        vm_id: the VM it is for.
        path: the script's file, read at once: oned overwrites it in the next phase.
        configuration: of the driver.
        token: the beginning of the run's marker.

    Returns:
        The job, or the outcome when there is nothing to run: a mistake in the script, or no action.
    """
    try:
        actions = parse_script(read_script(path))
        if not actions:
            return Outcome()
        return job_for(vm_id, actions, configuration, marker=f"{token}.{next(_numbers)}")
    except TmAnsibleError as error:
        return Outcome(reason=str(error))
    except Exception as error:
        _log.exception("VM %d: the driver made an error", vm_id)
        return internal_error(error)


class Transfer:
    """Work for the schedule that answers at most once, and never after it was cancelled."""

    def __init__(self, vm_id: int, task: Job | Outcome, office: Office) -> None:
        """Take a transfer over that the journal has noted as owed an answer.

        Args:
            vm_id: the VM it is for.
            task: what to run, or the outcome already.
            office: where to turn to.
        """
        self._vm_id = vm_id
        self._task = task
        self._office = office
        self._lock = threading.Lock()
        self._open = True
        self._run: Run | None = None

    @property
    def _label(self) -> str:
        """The first action, as its log lines and reasons name it."""
        labels = self._task.labels if isinstance(self._task, Job) else ()
        return next(iter(labels), "transfer")

    @property
    def copies(self) -> tuple[str, ...]:
        """Hosts that it copies images to or from."""
        return self._task.copies if isinstance(self._task, Job) else ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that it has work on."""
        return self._task.hosts if isinstance(self._task, Job) else ()

    def wait_for(self, obstacle: Obstacle) -> None:
        """Say in the VM's log what it waits for."""
        self._tell(Line(Severity.INFO, f"waiting: {_reason(obstacle)}"))

    def run(self) -> None:
        """Carry it out, answer, and return when nothing of it is left."""
        try:
            outcome = self._carry_out()
        except EngineError as error:
            outcome = Outcome(reason=f"{self._label}: {error}")
        except Exception as error:
            _log.exception("VM %d: the driver made an error", self._vm_id)
            outcome = internal_error(error)
        self.answer(outcome)

    def cancel(self) -> None:
        """Give no answer, and end what runs."""
        with self._lock:
            run = self._run
            if self._open:
                self._office.journal.waive(self._vm_id)
            self._open = False
        if run:
            run.cancel()

    def answer(self, outcome: Outcome) -> None:
        """Reply to oned, unless that was done or the transfer was cancelled."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            reply = render_reply(self._vm_id, outcome.reason)
            settled = partial(self._office.journal.settle, self._vm_id)
            self._office.writer.answer(self._vm_id, reply, settled)
        if outcome.reason is not None:
            _log.error("%s", _error_block(self._vm_id, outcome))

    def _carry_out(self) -> Outcome:
        if isinstance(self._task, Outcome):
            return self._task
        if not self._open:
            return Outcome(cancelled=True)
        run = self._office.engine.start(self._task, self._tell)
        with self._lock:
            self._run = run
            wanted = self._open
        if not wanted:
            run.cancel()
        return run.wait()

    def _tell(self, news: News) -> None:
        """Log a line; progress has lines of its own."""
        with self._lock:
            if self._open and isinstance(news, Line):
                self._office.writer.log(news.severity, self._vm_id, news.text)


def _reason(obstacle: Obstacle) -> str:
    host, count = obstacle.host, obstacle.running
    place = "on the front-end" if host == LOCAL else f"at {host}"
    if not count:
        setting = _setting(host) if obstacle.copies else "concurrency"
        return f"an older transfer comes first {place} (setting {setting})"
    transfers = "1 transfer" if count == 1 else f"{count} transfers"
    if not obstacle.copies:
        kept = "the slots that are left are for other hosts (setting concurrency)"
        return f"{transfers} {'is' if count == 1 else 'are'} at work {place} already, and {kept}"
    if host == LOCAL:
        does = f"{'reads or writes' if count == 1 else 'read or write'} images {place}"
    else:
        does = f"{'copies' if count == 1 else 'copy'} to or from {host}"
    return f"{transfers} {does} already (setting {_setting(host)})"


def _setting(host: str) -> str:
    return "copies.front_end" if host == LOCAL else "copies.per_host"


def internal_error(error: Exception) -> Outcome:
    """Give the outcome of a transfer in which the driver itself made an error."""
    return Outcome(reason=f"internal error, see the driver's log: {type(error).__name__}: {error}")


def _error_block(vm_id: int, outcome: Outcome) -> str:
    """Write the block that the storage guide's action scripts end with, under a heading."""
    detail = outcome.detail
    if len(detail) > _MOST_DETAIL:
        dropped = len(detail) - _MOST_DETAIL
        detail = (f"… {dropped} lines before these …", *detail[-_MOST_DETAIL:])
    lines = (outcome.reason or "", *detail)
    return "\n".join(
        (
            f"VM {vm_id}: the transfer failed",
            "ERROR MESSAGE --8<------",
            *(clean(line) for line in lines),
            "ERROR MESSAGE ------>8--",
        )
    )
