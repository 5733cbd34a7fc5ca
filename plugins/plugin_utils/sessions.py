"""Programs on hosts that take one piece of work after the other, as long as this process lives."""

import contextlib
import os
import subprocess
import threading
from typing import Any, Dict, Optional, Tuple

from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.plugin_utils import farside
from ansible_collections.one.tm.plugins.plugin_utils.connections import Far
from ansible_collections.one.tm.plugins.plugin_utils.lines import Lines, Silence
from ansible_collections.one.tm.plugins.plugin_utils.side import Side, start

__metaclass__ = type

# A log-in takes long where names are looked up in vain; ssh has its own limit for the connection.
START_SECONDS = 300.0

_open: Dict[Tuple[bytes, ...], "Session"] = {}
_lock = threading.Lock()


class Session:
    """A program on a host, and the pipe that it reads.

    Attributes:
        side: the program, here.
        pipe: descriptor of the writing end.
    """

    def __init__(self, far: Far) -> None:
        """Start it.

        Raises:
            TmError: it does not start, or says nothing.
        """
        self._process = os.getpid()
        self._key = os.urandom(16).hex()
        reading, self.pipe = os.pipe()
        frames.enlarge(self.pipe)
        try:
            self.side = Side(far, start(far, reading, subprocess.PIPE))
        finally:
            os.close(reading)
        self._is_open = True
        try:
            self._begin()
        except BaseException:
            self.end()
            raise

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
        self._write(farside.request(self._key, module, *arguments))

    def is_ours(self) -> bool:
        """Tell whether it lives, and was started by this very process and not before a fork."""
        return self._process == os.getpid() and self._is_open and self.side.process.poll() is None

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
        session = _open[_key(far)] = Session(far)
    return session


def _existing(far: Far) -> Optional[Session]:
    session = _open.get(_key(far))
    return session if session and session.is_ours() else None


def _key(far: Far) -> Tuple[bytes, ...]:
    return tuple(far.argv(far.python))
