"""The driver's own log: a file when asked for, and warnings and errors always to oned."""

import logging
import os
from pathlib import Path

from tm_ansible.engine.job import Severity
from tm_ansible.stdio import lead_output_to
from tm_ansible.writer import Writer

_ROOT = "tm_ansible"


def start_log(writer: Writer, file: Path | None) -> None:
    """Set the driver's log up.

    Args:
        writer: where warnings and errors go, line by line, to land in ``oned.log``.
        file: also gets everything, and whatever is printed in this process and its children;
            None for no file.
    """
    logger = logging.getLogger(_ROOT)
    logger.propagate = False
    logger.setLevel(logging.DEBUG if file else logging.WARNING)
    logger.handlers[:] = [_OnedHandler(writer)]
    if file:
        try:
            logger.addHandler(_file_handler(file))
        except OSError as error:
            logger.warning("no log file %s: %s; make it writable", file, error.strerror)


def _file_handler(file: Path) -> logging.Handler:
    descriptor = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o640)
    lead_output_to(descriptor)
    stream = os.fdopen(descriptor, "w", buffering=1, errors="backslashreplace")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(process)d %(levelname)-7s %(name)s: %(message)s")
    )
    return handler


class _OnedHandler(logging.Handler):
    """Sends each line of a record as a LOG message for no VM."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(logging.WARNING)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        severity = Severity.ERROR if record.levelno >= logging.ERROR else Severity.WARNING
        for line in self.format(record).splitlines():
            self._writer.log(severity, -1, line)
