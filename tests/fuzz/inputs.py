"""Inputs that reach different code, kept as text: a line in base64 each, a file a target."""

import base64
from collections.abc import Iterable
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent / "corpus"
# What is kept of a target: short inputs first.
MOST = 150
MOST_BYTES = 1024


def load(target: str) -> list[bytes]:
    """Give the inputs of a target."""
    path = DIRECTORY / f"{target}.txt"
    text = path.read_text("ascii") if path.exists() else ""
    return [base64.b64decode(line) for line in text.splitlines()]


def save(target: str, inputs: Iterable[bytes]) -> int:
    """Keep inputs of a target, each once, and return how many."""
    kept = sorted(
        {data for data in inputs if len(data) <= MOST_BYTES}, key=lambda data: (len(data), data)
    )
    lines = [base64.b64encode(data).decode("ascii") for data in kept[:MOST]]
    DIRECTORY.mkdir(exist_ok=True)
    (DIRECTORY / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines))
    return len(lines)
