"""What a run may say: a program that prints without end must not fill oned's logs or memory.

Every text of a message to the driver comes from here, and can be written as UTF-8.
"""

from collections.abc import Iterable, Iterator

import msgspec

from tm_ansible.engine.job import Line, News, Outcome, Severity

# Of one action: as many as an action script may print, and a few that its task adds.
MOST_LINES = 10_010
MOST_CHARACTERS = 8_000_000
LINE_CHARACTERS = 16_000
REASON_CHARACTERS = 4_000
DETAIL_LINES = 200
DETAIL_CHARACTERS = 800
_CUT = " [cut]"


class Bounds:
    """Lets the first lines of each action through, and counts the others."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._action = 0
        self._lines = 0
        self._left_out = 0
        self._characters = 0

    def within(self, action: int, news: Iterable[News]) -> Iterator[News]:
        """Pass on what is within bounds.

        Args:
            action: number of the action that says it.
            news: what a run tells; lines and names that are too long are cut.

        Yields:
            The same, as far as it may be said; first a note of what an action before has said
            beyond that.
        """
        if action != self._action:
            yield from self.note()
            self._action, self._lines, self._characters = action, 0, 0
        for each in news:
            if not isinstance(each, Line):
                yield msgspec.structs.replace(each, name=cut(each.name, LINE_CHARACTERS))
            elif self._lines < MOST_LINES and self._characters < MOST_CHARACTERS:
                self._lines += 1
                self._characters += len(each.text)
                yield Line(each.severity, cut(each.text, LINE_CHARACTERS))
            else:
                self._left_out += 1

    def note(self) -> Iterator[Line]:
        """Yield a line that tells how many were left out, if any were."""
        if self._left_out:
            text = f"{self._left_out} more lines left out: too many of one action"
            yield Line(Severity.WARNING, text)
        self._left_out = 0


def cut(text: str, most: int) -> str:
    r"""Shorten a text to so many characters, and say so at its end.

    Args:
        text: from a host or a playbook. Lone surrogates, such as Python has for bytes that are
            no UTF-8, are shown as ``\udc80``: no message can hold them.
        most: characters.

    Returns:
        A text that has a form in UTF-8.
    """
    text = text[: most + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def bounded(outcome: Outcome) -> Outcome:
    """Shorten what an outcome says; the last lines of its detail tell most.

    Args:
        outcome: of a run.

    Returns:
        One whose message to the driver is short.
    """
    detail = outcome.detail
    if len(detail) > DETAIL_LINES:
        last = detail[1 - DETAIL_LINES :]
        detail = (f"… {len(detail) - len(last)} lines before these …", *last)
    reason = outcome.reason and cut(outcome.reason, REASON_CHARACTERS)
    lines = tuple(cut(line, DETAIL_CHARACTERS) for line in detail)
    return Outcome(reason=reason, detail=lines, cancelled=outcome.cancelled)
