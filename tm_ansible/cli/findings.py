"""What ``tm-ansible check`` finds, and how it is shown."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum

_WIDTH = 100


class Level(str, Enum):
    """Whether something works."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was looked at.

    Attributes:
        level: whether it works.
        subject: what was looked at, in a word or a host's name.
        text: what was found.
        remedy: what to do about it; empty where there is nothing to do.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def good(subject: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(Level.OK, subject, text)


def doubtful(subject: str, text: str, remedy: str) -> Finding:
    """Return a finding that something could be better."""
    return Finding(Level.WARN, subject, text, remedy)


def bad(subject: str, text: str, remedy: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(Level.FAIL, subject, text, remedy)


def failed(findings: Iterable[Finding]) -> bool:
    """Tell whether anything does not work."""
    return any(finding.level is Level.FAIL for finding in findings)


def render(findings: Sequence[Finding]) -> str:
    """Write findings as aligned lines, each remedy below its finding."""
    width = max((len(finding.subject) for finding in findings), default=0)
    lines: list[str] = []
    for finding in findings:
        head = f"{finding.level.value:<4}  {finding.subject:<{width}}  "
        lines += _wrap(finding.text, head)
        if finding.remedy:
            lines += _wrap(finding.remedy, " " * (len(head) - 3) + "-> ")
    return "\n".join(lines)


def _wrap(text: str, head: str) -> list[str]:
    return textwrap.wrap(
        text,
        width=max(_WIDTH, len(head) + 40),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def render_json(findings: dict[str, list[Finding]]) -> str:
    """Write the findings of each map for programs."""
    return json.dumps(
        {name: [asdict(finding) for finding in found] for name, found in findings.items()}, indent=2
    )
