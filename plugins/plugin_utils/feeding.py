"""Further actions for a task that has carried out its own, from whoever keeps its run open."""

from typing import Any, Dict, Optional

from ansible.utils.display import Display

__metaclass__ = type

DISPLAY = Display()


class Feeder:
    """Whoever has further actions for a task; this one has none.

    Attributes:
        token: tells the end of the actions so far to whoever keeps the run open; nobody else
            knows it.
    """

    token = ""

    def next(self) -> Optional[Dict[str, Any]]:
        """Wait for further actions.

        Returns:
            The variables that differ from those of the task, ``tm_actions`` among them; None if
            there are no more actions.
        """

    def tell(self, message: str) -> None:
        """Tell whoever follows the run.

        Args:
            message: one line.
        """
        DISPLAY.display(message)


_feeder = Feeder()


def feed_from(feeder: Feeder) -> None:
    """Have tasks of this process ask for further actions.

    Args:
        feeder: to be asked.
    """
    global _feeder  # noqa: PLW0603 - as many processes as runs, each with one feeder
    _feeder = feeder


def feeder() -> Feeder:
    """Return who is to be asked."""
    return _feeder
