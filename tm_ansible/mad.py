"""What oned starts: a process that answers at once and that only oned can end."""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable

from tm_ansible import version
from tm_ansible.lines import LineSplitter
from tm_ansible.stdio import Channel, Ending, claim_channel, read_chunks, settle_signals

_MAX_REQUEST = 65536
# Of a thread, in bytes: nothing here goes deep, and each transfer has two.
_STACK_BYTES = 1 << 20
# mallopt(3), malloc.h of glibc: areas that threads take turns with, each 64 MiB of addresses.
_M_ARENA_MAX, _ARENAS = -8, 2


def main() -> None:
    """Run the driver until FINALIZE, the end of its input, a broken pipe or SIGTERM."""
    channel = claim_channel()
    ending = Ending()
    settle_signals(ending)
    try:
        _run(channel, ending)
    except Exception as error:
        reason = f"the driver does not start: {type(error).__name__}: {error}"
        _answer_only(channel, ending, reason)
    # Threads that write to a pipe nobody reads are left behind.
    os._exit(0)


def _run(channel: Channel, ending: Ending) -> None:
    # Imported here: descriptors and signals are in order, and a failure can be told.
    from tm_ansible.arguments import split_arguments  # noqa: PLC0415
    from tm_ansible.driver import Driver  # noqa: PLC0415
    from tm_ansible.engine.process import ProcessEngine  # noqa: PLC0415
    from tm_ansible.writer import Writer  # noqa: PLC0415

    _save_addresses()
    words = split_arguments(sys.argv[1:])
    if information := _information(words):
        os.write(channel.answers, information.encode())
        return
    writer = Writer(channel.answers, ending.ask)
    driver = Driver(words, os.environ, writer, ProcessEngine())
    _read_requests(channel, ending, driver.handle)
    driver.close()


def _save_addresses() -> None:
    """Have many threads fit into a limit of address space, such as RLIMIT_AS."""
    threading.stack_size(_STACK_BYTES)
    with contextlib.suppress(ImportError, AttributeError):  # another C library
        import ctypes  # noqa: PLC0415 - where it is missing, the failure has to be told

        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _read_requests(channel: Channel, ending: Ending, handle: Callable[[bytes], bool]) -> None:
    """Give each line to ``handle`` until that returns False or the input ends."""
    splitter = LineSplitter(_MAX_REQUEST)
    for chunk in read_chunks(channel.requests, ending):
        for line in splitter.feed(chunk):
            if not handle(line):
                return
        if splitter.dropped:
            _warn_of_long_lines(splitter)


def _warn_of_long_lines(splitter: LineSplitter) -> None:
    import logging  # noqa: PLC0415 - see _run

    logging.getLogger("tm_ansible.mad").warning(
        "ignored %d lines of more than %d bytes", splitter.dropped, splitter.limit
    )
    splitter.dropped = 0


def _information(words: list[str]) -> str:
    """Give what a person at a prompt may ask for; else ``""``."""
    if words == ["--version"]:
        return f"one_tm_ansible {version()}\n"
    if words in (["--help"], ["-h"]):
        from tm_ansible.arguments import USAGE  # noqa: PLC0415

        return USAGE
    return ""


def _answer_only(channel: Channel, ending: Ending, reason: str) -> None:
    """Answer every request with a failure, with nothing but the standard library.

    A driver that dies at its start would be started again by oned without end.
    """
    text = re.sub(r"[^ -~]", " ", reason)[:1000]

    def handle(line: bytes) -> bool:
        if line.strip() == b"INIT":
            os.write(channel.answers, f"INIT FAILURE {text}\n".encode())
        elif match := re.match(rb"TRANSFER[ \t]+(\d{1,9})\b", line):
            os.write(channel.answers, b"TRANSFER FAILURE %s %s\n" % (match[1], text.encode()))
        return not line.startswith(b"FINALIZE")

    _read_requests(channel, ending, handle)


if __name__ == "__main__":
    main()
