"""What a command writes: log lines on STDOUT, errors on STDERR, by the guide's rules."""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from tm_ansible.engine.job import Line, News, Outcome, Progress, Severity
from tm_ansible.protocol import clean

if TYPE_CHECKING:
    from rich.status import Status

    from tm_ansible.cli.bar import Bar

_STYLES = {Severity.WARNING: "yellow", Severity.ERROR: "red", Severity.DEBUG: "dim"}


def settle() -> None:
    """Make descriptors, signals and streams as a command needs them, however it was started.

    A driver in oned's manner starts action scripts with descriptor 2 closed and signals blocked.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace", line_buffering=True)


def forget_output() -> None:
    """Stop writing to STDOUT, whose reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def complain(message: str) -> None:
    """Tell a user what is wrong, on one line of STDERR."""
    with contextlib.suppress(OSError):
        print(f"tm-ansible: {clean(message)}", file=sys.stderr)


class PlainOutput:
    """Writes as the guide has it: lines on STDOUT, the error block on STDERR.

    Attributes:
        progress_seconds: how often it wants to hear of progress; None for as it comes.
    """

    progress_seconds: float | None = None

    def show(self, news: News) -> None:
        """Write a line as it happens; may be called from any thread."""
        if isinstance(news, Line):
            # A reader that has gone does not keep the transfer from its end.
            with contextlib.suppress(OSError):
                print(clean(news.text), flush=True)

    def end(self, outcome: Outcome) -> None:
        """Write the error block if the transfer failed."""
        if outcome.reason is None:
            return
        block = ["ERROR MESSAGE --8<------", clean(outcome.reason), "ERROR MESSAGE ------>8--"]
        with contextlib.suppress(OSError):
            for text in [*(clean(text) for text in outcome.detail), *block]:
                print(text, file=sys.stderr)


class TerminalOutput(PlainOutput):
    """The same for a person at a terminal: colours, time, what is under way, and how far it is."""

    progress_seconds = 0.5

    def __init__(self, title: str) -> None:
        """Begin.

        Args:
            title: what is done, shown until the first line comes.
        """
        from rich.console import Console  # noqa: PLC0415 (only a terminal needs it)

        self._console = Console(highlight=False)
        self._status: Status = self._console.status(clean(title))
        self._bar: Bar | None = None
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._status.start()

    def show(self, news: News) -> None:
        """Show a line with the time since the beginning, or how far a copy is."""
        with self._lock, contextlib.suppress(OSError):
            if isinstance(news, Line):
                self._hide_bar()
                self._print(news)
            else:
                self._show_bar(news)

    def _show_bar(self, progress: Progress) -> None:
        from tm_ansible.cli.bar import Bar  # noqa: PLC0415

        if self._bar and self._bar.is_of(progress):
            self._bar.show(progress)
            return
        self._hide_bar()
        self._status.stop()  # a console has one live display at a time
        self._bar = Bar(self._console, progress)

    def _hide_bar(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None
            self._status.start()

    def _print(self, line: Line) -> None:
        from rich.text import Text  # noqa: PLC0415

        label, colon, rest = clean(line.text).partition(": ")
        text = Text(f"{time.monotonic() - self._start:7.1f} s  ", style="dim")
        text.append(label + colon, style="bold cyan")
        text.append(rest, style=_STYLES.get(line.severity, "not dim"))
        self._console.print(text, soft_wrap=True)

    def end(self, outcome: Outcome) -> None:
        """Show how it ended."""
        self._hide_bar()
        self._status.stop()
        seconds = time.monotonic() - self._start
        if outcome.reason is None:
            self._console.print(f"[green]done[/] in {seconds:.1f} s")
        else:
            self._console.print(f"[red]failed[/] after {seconds:.1f} s")
        super().end(outcome)


def output(title: str) -> PlainOutput:
    """Return what suits the place that STDOUT leads to."""
    return TerminalOutput(title) if sys.stdout.isatty() else PlainOutput()
