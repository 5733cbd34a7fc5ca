"""A live bar of the copy that is under way, for a person at a terminal."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from tm_ansible.engine.job import Progress
from tm_ansible.protocol import clean

_MIB = 1024 * 1024


class Bar:
    """Shows one copy: name, bar, percentage, bytes, rate and the time that is left."""

    def __init__(self, console: Console, progress: Progress) -> None:
        """Begin to show a copy.

        Args:
            console: where.
            progress: the first that was heard of it.
        """
        # Of the names nothing is markup: they come from users.
        self._rich = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold cyan", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._subject = (progress.label, progress.name)
        self._task = self._rich.add_task(clean(f"{progress.label}: {progress.name}"), rate="")
        self._begin = time.monotonic()
        self._before = progress.moved
        self._rich.start()
        self.show(progress)

    def is_of(self, progress: Progress) -> bool:
        """Tell whether progress is that of the copy shown."""
        return self._subject == (progress.label, progress.name)

    def show(self, progress: Progress) -> None:
        """Show how far the copy is."""
        seconds = time.monotonic() - self._begin
        rate = (progress.moved - self._before) / _MIB / seconds if seconds > 0.1 else 0
        self._rich.update(
            self._task,
            total=progress.size or None,
            completed=progress.done,
            rate=f"{rate:.1f} MiB/s" if rate else "",
        )

    def stop(self) -> None:
        """Take the bar away."""
        self._rich.stop()
