"""What a process of warm runs is to others: its name in ps(1), its marker."""

import tempfile
from pathlib import Path

from tm_ansible.engine import marked
from tm_ansible.engine.warm.messages import Start

# The server, once it is ready; a worker that waits for its run; and one that has it.
IDLE = "tm-warm"
SPARE = "tm-spare"
BUSY = "tm-worker"


def call_yourself(name: str) -> None:
    """Name the calling process (proc(5), ``comm``).

    Args:
        name: at most 15 bytes.
    """
    Path("/proc/self/comm").write_text(name)


def join(run: Start) -> None:
    """Have the calling process be one of a run, and found as such.

    Args:
        run: which.
    """
    call_yourself(BUSY)
    tempfile.tempdir = run.directory
    marked.adopt(run.marker)
