"""Lets what goes from one pipe to another through this machine keep the machine's bandwidth."""

import os
import threading
from typing import Optional

from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.module_utils.pace import Pacer

__metaclass__ = type

STEP_BYTES = 1 << 18
END_SECONDS = 5.0


class Pump:
    """Moves bytes from a pipe of its own into another one, in the kernel (splice(2))."""

    def __init__(self, mib_per_second: float) -> None:
        """Prepare.

        Args:
            mib_per_second: the limit of this machine.
        """
        self._pacer = Pacer(mib_per_second)
        self._thread: Optional[threading.Thread] = None

    def start_into(self, sink: int) -> int:
        """Begin to fill a pipe, and take its descriptor over.

        Args:
            sink: the writing end.

        Returns:
            A writing end that takes its place.

        Raises:
            TmError: the limit cannot be kept.
        """
        self._pacer.take(1)  # an error is to be raised here, not in the thread
        reading, writing = os.pipe()
        frames.enlarge(writing)
        self._thread = threading.Thread(target=self._run, args=(reading, sink), daemon=True)
        self._thread.start()
        return writing

    def join(self) -> None:
        """Wait until everything that came has gone."""
        if self._thread:
            self._thread.join(END_SECONDS)

    def _run(self, source: int, sink: int) -> None:
        try:
            while True:
                moved = os.splice(source, sink, STEP_BYTES)
                if not moved:
                    return
                self._pacer.take(moved)
        except BrokenPipeError:
            pass  # the receiver has ended; the sender will notice
        finally:
            os.close(source)
            os.close(sink)
