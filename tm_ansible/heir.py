"""Settles what earlier drivers of the same name have left unanswered and running."""

import logging
import threading
from collections.abc import Iterable, Mapping
from functools import partial

from tm_ansible.engine.holdings import end_orphans
from tm_ansible.journal import Legacy
from tm_ansible.protocol import render_reply
from tm_ansible.transfer import Office

_log = logging.getLogger(__name__)
_RESTARTED = "the driver was restarted while this transfer ran"


def inherit(office: Office, environment: Mapping[str, str]) -> None:
    """Settle what dead drivers have left, now; and what living ones may leave, when they end.

    A predecessor that was told to end may still be at it when its successor starts.

    Args:
        office: takes what is owed over, and answers.
        environment: of runs; it says where temporary files are.
    """
    _take_over_all(office.journal.legacies(), office, environment)
    for path in office.journal.others():
        legacies = office.journal.legacies(wait_for=path)
        arguments = (legacies, office, environment)
        heir = threading.Thread(target=_take_over_all, args=arguments, name="heir", daemon=True)
        try:
            heir.start()
        except RuntimeError as error:
            _log.warning("nobody waits for the end of the driver of %s: %s", path, error)


def _take_over_all(
    legacies: Iterable[Legacy], office: Office, environment: Mapping[str, str]
) -> None:
    for legacy in legacies:
        _take_over(legacy, office, environment)


def _take_over(legacy: Legacy, office: Office, environment: Mapping[str, str]) -> None:
    left = end_orphans(legacy.token, environment)
    if left != []:
        _log.error("processes of an earlier driver that do not end: %s", left or "unknown")
    for vm_id in legacy.owed:
        office.journal.accept(vm_id)
    legacy.discard()
    for vm_id in legacy.owed:
        _log.warning("VM %d: %s", vm_id, _RESTARTED)
        settled = partial(office.journal.settle, vm_id)
        office.writer.reply(render_reply(vm_id, _RESTARTED), settled)
