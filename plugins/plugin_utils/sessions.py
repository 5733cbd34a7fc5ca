"""Programs on hosts that take one piece of work after the other, as long as this process lives."""

import contextlib
import hashlib
import os
import re
import subprocess
import threading
from typing import Any, Dict, Optional, Set

from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.plugin_utils import farside
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far
from ansible_collections.one.tm.plugins.plugin_utils.kept import Keeper, Kept, KeptProcess
from ansible_collections.one.tm.plugins.plugin_utils.lines import Lines, Silence
from ansible_collections.one.tm.plugins.plugin_utils.side import Side, start

__metaclass__ = type

# A log-in takes long where names are looked up in vain; ssh has its own limit for the connection.
START_SECONDS = 300.0
# Of ``BecomeBase._build_success_command``: another one each time.
BECOME_KEY = re.compile(rb"BECOME-SUCCESS-[a-z]+")

_open: Dict[str, "Session"] = {}
_lock = threading.Lock()
_keeper = Keeper()


class Session:
    """A program on a host, and the pipe that it reads.

    Attributes:
        side: the program, here.
        pipe: descriptor of the writing end.
    """

    def __init__(self, side: Side, pipe: int, key: str) -> None:
        """Take a program that runs.

        Args:
            side: the program, here.
            pipe: descriptor of the writing end of its input.
            key: with which it takes requests.
        """
        self.side = side
        self.pipe = pipe
        self._process = os.getpid()
        self._key = key
        self._known: Set[str] = set()
        self._is_open = True

    @classmethod
    def started(cls, far: Far) -> "Session":
        """Start one.

        Args:
            far: the host, connected.

        Raises:
            TmError: it does not start, or says nothing.
        """
        environment = _keeper.environment
        session = cls._bare(far, environment)
        # Before it logs in, which may take for ever.
        if environment and not _keeper.made(session.side.process.pid):
            session.end()
            session = cls._bare(far, {})
        try:
            session._begin()
        except BaseException:
            session.end()
            raise
        return session

    @classmethod
    def _bare(cls, far: Far, environment: Dict[str, str]) -> "Session":
        """Start what runs it."""
        reading, writing = os.pipe()
        frames.enlarge(writing)
        try:
            process = start(far, reading, subprocess.PIPE, environment)
        finally:
            os.close(reading)
        return cls(Side(far, process), writing, os.urandom(16).hex())

    @classmethod
    def taken(cls, far: Far, kept: Kept) -> "Session":
        """Go on with one that another process has left.

        Args:
            far: its host.
            kept: the session.
        """
        session = cls(Side(far, KeptProcess(kept)), kept.descriptors[0], kept.secret)
        session._known = set(kept.known)
        return session

    def _begin(self) -> None:
        """Give it its program, and wait until it says that it runs."""
        self._write(farside.session(self._key))
        try:
            Lines(self.side.process.stdout.fileno(), START_SECONDS).skip_noise()
        except (frames.StreamEndError, Silence):
            raise self.side.lost("before anything was done") from None

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # whoever reads its answer will notice
            frames.write_all(self.pipe, data)

    def begin(self, module: str, *arguments: Any) -> None:
        """Have it call ``main`` of a module; what is written to the pipe behind that is for it.

        Args:
            module: of ``module_utils``.
            arguments: anything that JSON can say.
        """
        sources = farside.sources(module, arguments)
        new = {name: text for name, text in sources.items() if name not in self._known}
        self._write(farside.request(self._key, new, module, arguments))
        self._known.update(new)

    def is_ours(self) -> bool:
        """Tell whether it is open, and of this very process and not of one before a fork."""
        return self._process == os.getpid() and self._is_open

    def lives(self) -> bool:
        """Tell whether it has not ended by itself."""
        return self.side.process.poll() is None

    def leave(self, connection: str) -> None:
        """Leave it to the keeper; whoever has it then, it is not this process.

        Args:
            connection: see ``Kept``.
        """
        process = self.side.process
        self.side.stop_reading()
        try:
            end = process.end if isinstance(process, KeptProcess) else os.pidfd_open(process.pid)
            pipes = [self.pipe, process.stdout.fileno(), process.stderr.fileno()]
            known = sorted(self._known)
            _keeper.keep(Kept(connection, self._key, known, process.pid, [*pipes, end]))
            os.close(end)
        finally:
            self.close()
            self.side.let_go()

    def close(self) -> None:
        """End its input: it ends once it has done what it is doing, or notices that it cannot."""
        with _lock:
            if self._is_open:
                self._is_open = False
                os.close(self.pipe)

    def end(self) -> None:
        """End it now."""
        self.close()
        self.side.end()
        if isinstance(self.side.process, KeptProcess):
            self.side.process.close()


def keep_with(keeper: Keeper) -> None:
    """Have sessions of this process kept for others, and use those that are kept.

    Args:
        keeper: to be asked.
    """
    global _keeper  # noqa: PLW0603 - as many processes as runs, each with one keeper
    _keeper = keeper


def leave() -> None:
    """Leave the sessions of this process, which has no work for them now, to the keeper."""
    while _open:
        connection, session = _open.popitem()
        if session.is_ours() and session.lives():
            with contextlib.suppress(OSError):
                session.leave(connection)
        elif session.is_ours():
            session.end()


def connect(far: Far) -> None:
    """Make sure of the connection to a host, where no session shows that it is there.

    Args:
        far: the host.

    Raises:
        AnsibleConnectionFailure: with Ansible's own words.
    """
    if _existing(far) is None:
        far.connect()


def of(far: Far) -> Session:
    """Return the session on a host, over this very connection; a new one if there is none.

    Args:
        far: the host, connected.

    Raises:
        TmError: it does not start.
    """
    session = _existing(far)
    if session is None:
        session = _open[_connection(far)] = Session.started(far)
    return session


def _existing(far: Far) -> Optional[Session]:
    """Return the session of this process, or else one that was kept."""
    connection = _connection(far)
    session = _open.get(connection)
    if session and session.is_ours():
        if session.lives():
            return session
        session.end()
    kept = _keeper.take(connection)
    if kept is None:
        return None
    session = Session.taken(far, kept)
    if not session.lives():
        session.end()
        return None
    _open[connection] = session
    return session


def _connection(far: Far) -> str:
    words = b"\0".join(far.argv(far.python))
    return hashlib.sha256(BECOME_KEY.sub(b"", words)).hexdigest()
