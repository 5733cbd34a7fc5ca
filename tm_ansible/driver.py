"""What the driver does with each line of oned."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tm_ansible import protocol
from tm_ansible.arguments import parse_arguments
from tm_ansible.configuration import Configuration, find_log, load_configuration
from tm_ansible.engine.job import Engine, Job, Outcome, Site
from tm_ansible.errors import TmAnsibleError
from tm_ansible.heir import Heir
from tm_ansible.journal import Journal
from tm_ansible.locations import doubt_of_vm_dir
from tm_ansible.log import start_log
from tm_ansible.schedule import Schedule
from tm_ansible.settings import Copies
from tm_ansible.shares import LOCAL
from tm_ansible.transfer import Office, Transfer, internal_error, plan
from tm_ansible.writer import Writer

_log = logging.getLogger(__name__)

# Seconds for the end of everything that runs, of the eight that a driver may take in all.
_END_SECONDS = 6.5
_FLUSH_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Site:
    """What there is once the driver is ready."""

    configuration: Configuration
    office: Office
    schedule: Schedule
    heir: Heir

    def owe(self, vm_id: int) -> None:
        """Note that a VM is owed an answer, and none of a predecessor's any more."""
        self.office.journal.accept(vm_id)
        self.heir.hear_of(vm_id)


class Driver:
    """Answers oned's lines, one after the other."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], writer: Writer, engine: Engine
    ) -> None:
        """Prepare; nothing is read or written before INIT.

        Args:
            words: arguments of the driver.
            environment: the process's environment.
            writer: leads to oned.
            engine: carries jobs out.
        """
        self._words = words
        self._environment = environment
        self._writer = writer
        self._engine = engine
        self._site: _Site | None = None
        self._refusal = "the driver was not asked to INIT"

    def handle(self, line: bytes) -> bool:
        """Do what a line asks for; whatever it is, the driver goes on.

        Args:
            line: one line of oned.

        Returns:
            False when oned asks for the end.
        """
        request = protocol.parse_request(line)
        try:
            self._dispatch(request)
        except Exception:
            _log.exception("the driver made an error at %r", line[:200])
        return not isinstance(request, protocol.Finalize)

    def close(self) -> None:
        """End everything without answers: those still owed are for the successor to give."""
        if self._site:
            self._site.office.journal.keep()
            if not self._site.schedule.close(_END_SECONDS):
                _log.error("some transfers have not ended in %g s", _END_SECONDS)
        self._engine.close()
        self._writer.flush(_FLUSH_SECONDS)
        if self._site:
            # Last: the successor waits for it, and every answer that was written is noted.
            self._site.office.journal.close()

    def _dispatch(self, request: protocol.Request | None) -> None:
        if isinstance(request, protocol.Init):
            self._init()
        elif isinstance(request, protocol.Transfer):
            self._transfer(request)
        elif isinstance(request, protocol.DriverCancel):
            self._cancel(request.vm_id)
        elif isinstance(request, protocol.Malformed):
            self._refuse(request)

    def _init(self) -> None:
        """Answer before anything else is done: oned 1.2 waits half a second."""
        if self._site:
            self._writer.reply(protocol.init_success())
            return
        action_map = ""
        try:
            arguments = parse_arguments(self._words)
            action_map = arguments.action_map
            configuration = load_configuration(action_map, self._environment)
        except Exception as error:
            self._fail(error, action_map)
            return
        self._writer.reply(protocol.init_success())
        self._begin(configuration, arguments.concurrency)

    def _fail(self, error: Exception, action_map: str) -> None:
        """Stay alive without a configuration: oned must not start us over and over."""
        known = isinstance(error, TmAnsibleError)
        self._refusal = str(error) if known else f"{type(error).__name__}: {error}"
        self._writer.reply(protocol.init_failure(self._refusal))
        start_log(self._writer, find_log(action_map, self._environment))
        _log.error("not ready: %s", self._refusal, exc_info=None if known else error)

    def _begin(self, configuration: Configuration, concurrency: int | None) -> None:
        locations = configuration.locations
        start_log(self._writer, find_log(str(configuration.map_path), self._environment))
        if not configuration.settings.allowed_dirs and (doubt := doubt_of_vm_dir(locations)):
            _log.warning("%s", doubt)
        _settle_process(configuration)
        journal = Journal(locations.var, configuration.name)
        office = Office(self._engine, self._writer, journal)
        limit = concurrency or configuration.settings.concurrency
        schedule = Schedule(limit, partial(_slots, configuration.settings.copies))
        heir = Heir(office, configuration.environment)
        self._site = _Site(configuration, office, schedule, heir)
        _log.info("%s is ready for %d transfers at a time", configuration.name, limit)
        heir.inherit()
        if configuration.settings.engine.warm:
            self._engine.warm_up(_common(configuration, journal.token))

    def _transfer(self, request: protocol.Transfer) -> None:
        if self._site:
            _log.info("VM %d: %s", request.vm_id, request.script)
            self._site.owe(request.vm_id)  # first: whatever comes of it, an answer is owed
            token = self._site.office.journal.token
            task = plan(request.vm_id, request.script, self._site.configuration, token)
            self._accept(self._site, request.vm_id, task)
        else:
            self._writer.reply(protocol.render_reply(request.vm_id, self._refusal))

    def _accept(self, site: _Site, vm_id: int, task: Job | Outcome) -> None:
        transfer = Transfer(vm_id, task, site.office)
        try:
            site.schedule.submit(vm_id, transfer, transfer.copies, transfer.hosts)
        except RuntimeError as error:
            transfer.answer(Outcome(reason=f"the system allows no more threads: {error}"))
        except Exception as error:
            _log.exception("VM %d: the driver made an error", vm_id)
            transfer.answer(internal_error(error))

    def _cancel(self, vm_id: int) -> None:
        if not self._site:
            return
        self._site.heir.hear_of(vm_id)
        cancelled = self._site.schedule.cancel(vm_id)
        withdrawn = self._site.office.writer.withdraw(vm_id)
        _log.info("VM %d: %d transfers cancelled, %d replies", vm_id, cancelled, withdrawn)

    def _refuse(self, request: protocol.Malformed) -> None:
        """Log a line that asks for nothing that can be done; answer if a VM waits for it."""
        _log.warning("%s: %s", request.reason, request.text)
        if request.vm_id is None:
            return
        if self._site:
            self._site.owe(request.vm_id)
            self._accept(self._site, request.vm_id, Outcome(reason=request.reason))
        else:
            self._writer.reply(protocol.render_reply(request.vm_id, self._refusal))


def _slots(copies: Copies, host: str) -> int:
    """Tell how many transfers may copy to or from a host at a time; 0 for any number."""
    return copies.front_end if host == LOCAL else copies.per_host


def _common(configuration: Configuration, token: str) -> Site:
    """Give what all jobs of the driver have in common."""
    return Site(
        environment=dict(configuration.environment),
        collections=str(configuration.content.collections),
        options=configuration.options,
        defaults=dict(configuration.defaults),
        marker=f"{token}.warm",
        session_seconds=configuration.settings.engine.session_seconds,
    )


def _settle_process(configuration: Configuration) -> None:
    """Take the working directory and the priority that the stock driver's wrapper would set."""
    var = configuration.locations.var
    try:
        if var.is_dir():
            os.chdir(var)
        if configuration.priority is not None:
            os.nice(configuration.priority)
    except OSError as error:
        _log.warning("working directory %s or PRIORITY not set: %s", var, error)
