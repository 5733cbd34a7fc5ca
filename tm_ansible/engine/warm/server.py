"""The server of warm workers: loads Ansible once, then forks a worker for each run.

Started as ``python -m tm_ansible.engine.warm.server <descriptor> <directory>``, with one end of a
socket pair. The driver sends a ``Site``, and is told when a playbook has run; from then on nobody
needs the directory, and a ``Start`` comes for each run. The worker that gets it was forked before,
since forking takes longer than handing over. When the socket closes, or what was loaded is no
longer what the disk has, the server ends with the last of its workers.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tm_ansible.engine.child import close_all, is_readable
from tm_ansible.engine.job import Site
from tm_ansible.engine.warm import identity, spare
from tm_ansible.engine.warm.messages import MESSAGE_BYTES, Answer

READY = b"ready"
# Of a worker's pipes: input, output, complaints, and how it ends.
_DESCRIPTORS = 4
_PACKAGE_PARENT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Serve until the driver closes the socket.

    Returns:
        the process's exit status.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    site = msgspec.json.decode(control.recv(MESSAGE_BYTES), type=Site)
    signature = _load(site, Path(sys.argv[2]))
    identity.call_yourself(identity.IDLE)
    _be_silent()
    control.send(READY)
    _Server(control, site, signature).serve()
    return 0


def _be_silent() -> None:
    """Let go of the pipe for complaints: from now on nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _load(site: Site, directory: Path) -> Callable[[], object]:
    """Import Ansible in the environment of runs, and run playbooks.

    Returns:
        gives the state on disk of all that is loaded.
    """
    from tm_ansible.engine import runner  # noqa: PLC0415 - in the order of need

    os.chdir(directory)  # an ansible.cfg in the working directory would hold
    os.environ.update(runner.environment(directory, site.options))
    from tm_ansible.engine.warm import warmup  # noqa: PLC0415 - imports Ansible, which reads that

    warmup.warm_up(site, directory)
    spare.load()
    os.chdir(_PACKAGE_PARENT)
    gc.collect()
    gc.freeze()
    return warmup.Signature(site)


class _Worker(NamedTuple):
    """A worker under way: where its end is told, and the socket on which it asks for sessions."""

    answers: int
    asking: socket.socket


class _Server:
    """Forks workers, tells how they ended, and keeps sessions between them."""

    def __init__(self, control: socket.socket, site: Site, signature: Callable[[], object]) -> None:
        from tm_ansible.engine.warm.keeping import Store  # noqa: PLC0415 - Ansible finds it now

        self._control = control
        self._site = site
        self._signature = signature
        self._loaded = signature()
        self._store = Store(site.session_seconds)
        self._workers: dict[int, _Worker] = {}
        self._spare: spare.Spare | None = None
        # Whether to fork workers ahead; not again, until there is a run, after one has died.
        self._is_ahead = True
        self._wake, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._writing = writing
        self._poll = select.poll()
        self._is_open = True

    def serve(self) -> None:
        signal.set_wakeup_fd(self._writing)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        while self._is_open or self._workers:
            if self._is_open and not self._spare and self._is_ahead:
                self._spare = self._fork_ahead()
            ready = [descriptor for descriptor, _ in self._poll.poll(self._store.patience_ms)]
            self._store.expire()
            for pid, worker in list(self._workers.items()):
                if worker.asking.fileno() in ready and not self._store.serve(pid, worker.asking):
                    self._poll.unregister(worker.asking)
            if self._wake in ready:
                self._reap()
            if self._is_open and self._control.fileno() in ready and not self._take():
                self._close()

    def _close(self) -> None:
        """Take no more requests; what workers under way have borrowed is looked after."""
        self._is_open = False
        self._poll.unregister(self._control)
        self._store.close()
        if self._spare:
            self._spare.dismiss()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._spare.pid, 0)
            self._forget_spare()

    def _take(self) -> bool:
        """Take one request; return whether there may be more."""
        message, descriptors, _flags, _address = socket.recv_fds(
            self._control, MESSAGE_BYTES, _DESCRIPTORS
        )
        if not message:
            return False
        if len(descriptors) < _DESCRIPTORS:  # this process has too many to take them
            close_all(descriptors)
            return True
        try:
            if not self._is_current():
                os.close(descriptors[3])
                return False
            self._start(message, descriptors)
        finally:
            close_all(descriptors[:3])
        return True

    def _start(self, order: bytes, descriptors: Sequence[int]) -> None:
        worker, self._spare = self._spare, None
        self._is_ahead = True
        if not (worker and worker.take(order, descriptors[:3])):
            worker = self._fork(*descriptors)
            if not worker.take(order, descriptors[:3]):
                os.close(descriptors[3])  # whoever waits for an answer starts cold
                return
        self._poll.register(worker.asking, select.POLLIN)
        self._workers[worker.pid] = _Worker(descriptors[3], worker.asking)
        group = str(worker.group.path) if worker.group else None
        _answer(descriptors[3], Answer(pid=worker.pid, group=group))

    def _fork_ahead(self) -> spare.Spare | None:
        try:
            return self._fork()
        except OSError:  # no process or descriptor to spare
            self._is_ahead = False
            return None

    def _fork(self, *not_its: int) -> spare.Spare:
        return spare.fork(self._site, self._is_current, [*not_its, *self._own()])

    def _is_current(self) -> bool:
        """Tell whether what is loaded is what the disk has."""
        return self._signature() == self._loaded

    def _own(self) -> list[int]:
        """List the descriptors that a worker must not have."""
        own = [self._control.fileno(), self._wake, self._writing, *self._store.descriptors]
        for worker in self._workers.values():
            own += [worker.answers, worker.asking.fileno()]
        return own

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._conclude(*ended)

    def _conclude(self, pid: int, status: int) -> None:
        if self._spare and self._spare.pid == pid:
            self._spare.dismiss()
            self._forget_spare()
            self._is_ahead = False
        if pid in self._workers:
            self._tell_end(pid, status)

    def _forget_spare(self) -> None:
        if self._spare and self._spare.group:
            self._spare.group.remove()
        self._spare = None

    def _tell_end(self, pid: int, status: int) -> None:
        worker = self._workers.pop(pid)
        while is_readable(worker.asking.fileno(), 0) and self._store.serve(pid, worker.asking):
            pass
        with contextlib.suppress(KeyError):
            self._poll.unregister(worker.asking)
        worker.asking.close()
        self._store.ended(pid)
        _answer(worker.answers, Answer(pid=pid, status=status))
        os.close(worker.answers)


def _answer(descriptor: int, answer: Answer) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
