"""A worker that is forked before there is a run for it: forking takes longer than handing over."""

import contextlib
import itertools
import os
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from tm_ansible.engine.cgroup import Group
from tm_ansible.engine.job import Site
from tm_ansible.engine.warm import forked, identity
from tm_ansible.engine.warm.messages import MESSAGE_BYTES, Start

_numbers = itertools.count()
_PACKAGE_PARENT = Path(__file__).resolve().parents[3]


class Spare(NamedTuple):
    """A worker that waits for its run, and the socket on which it gets it."""

    pid: int
    asking: socket.socket
    orders: socket.socket
    group: Group | None

    def take(self, order: bytes, descriptors: Sequence[int]) -> bool:
        """Give it its run; tell whether it is there to take it."""
        with self.orders, contextlib.suppress(OSError):
            socket.send_fds(self.orders, [order], descriptors)
            return True
        self.dismiss()
        return False

    def dismiss(self) -> None:
        """Have it end: there is no run for it. Its group is removed by whoever hears of its end."""
        self.orders.close()
        self.asking.close()


def load() -> None:
    """Import what each worker has need of; Ansible has to be loaded before."""
    from tm_ansible.engine import worker  # noqa: F401, PLC0415 - Ansible finds it now
    from tm_ansible.engine.warm import keeping, launch  # noqa: F401, PLC0415


def fork(site: Site, is_current: Callable[[], bool], not_its: Sequence[int]) -> Spare:
    """Fork a worker that waits for its run.

    Args:
        site: that the calling process was made for.
        is_current: tells whether what is loaded is what the disk has.
        not_its: descriptors of this process that it must not have.
    """
    orders, its_orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking, its_asking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The server before this one may have workers still, and their groups.
    group = Group.make(f"{site.marker}.{os.getpid()}.{next(_numbers)}")
    try:
        pid = os.fork()
    except OSError:
        if group:
            group.remove()
        raise
    if pid == 0:
        not_its = [orders.fileno(), asking.fileno(), *not_its]
        beginning = _Beginning(not_its, group)
        forked.work(lambda: _work(its_orders, its_asking, site, is_current, beginning))
    its_orders.close()
    its_asking.close()
    return Spare(pid, asking, orders, group)


class _Beginning(NamedTuple):
    """What a fork does first: close descriptors of the server's, and join its group."""

    descriptors: Sequence[int]
    group: Group | None


def _leave_server(beginning: _Beginning) -> None:
    """Make this fork a process of its own."""
    os.setsid()
    if beginning.group:
        beginning.group.add(0)
    identity.call_yourself(identity.SPARE)
    signal.set_wakeup_fd(-1)
    # Ansible has left handlers of its own.
    for kind in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(kind, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor in beginning.descriptors:
        os.close(descriptor)
    os.chdir(_PACKAGE_PARENT)


def _work(
    orders: socket.socket,
    asking: socket.socket,
    site: Site,
    is_current: Callable[[], bool],
    beginning: _Beginning,
) -> int:
    """Wait for a run, and do what a worker process does.

    Args:
        orders: from which the run comes; it closes if there is none.
        asking: on which the server is asked for sessions.
        site: that the server was made for.
        is_current: tells whether what is loaded is what the disk has.
        beginning: what to do first.

    Returns:
        the process's exit status.
    """
    _leave_server(beginning)
    from tm_ansible.engine import worker  # noqa: PLC0415 - loaded already
    from tm_ansible.engine.warm.keeping import RemoteKeeper  # noqa: PLC0415
    from tm_ansible.engine.warm.launch import Playbook  # noqa: PLC0415

    keeper = partial(RemoteKeeper, asking, site.marker)
    playbook = Playbook(keeper, is_current, not_its=[orders])
    with orders:
        order, descriptors, _flags, _address = socket.recv_fds(orders, MESSAGE_BYTES, 3)
    if not order:
        return 0
    request = msgspec.json.decode(order, type=Start)
    _enter(request, site, descriptors)
    playbook.enter(request)
    return worker.main(playbook)


def _enter(request: Start, site: Site, descriptors: Sequence[int]) -> None:
    """Make this fork what a process started for the run would be."""
    forked.take_streams(descriptors)
    os.environ.clear()
    os.environ.update(site.environment, TMPDIR=request.directory)
    identity.join(request)
