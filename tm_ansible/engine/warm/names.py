"""What ps(1) shows of the processes of warm runs."""

from pathlib import Path

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
