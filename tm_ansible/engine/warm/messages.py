"""What the driver and its server of warm workers say to each other: JSON messages."""

import msgspec

MESSAGE_BYTES = 1 << 20


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a worker. Four descriptors come along: stdin, stdout, stderr, and one for answers.

    Attributes:
        marker: of the run.
        directory: for its temporary files.
    """

    marker: str
    directory: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server writes to the descriptor for answers, a line each.

    Attributes:
        pid: of the worker; the first answer.
        group: directory of its cgroup, if it has one; in the same.
        status: as ``waitpid`` gives it; the second, once the worker has ended.
    """

    pid: int = 0
    group: str | None = None
    status: int | None = None
