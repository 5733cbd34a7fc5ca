"""Ansible's output reaches ansible-runner so that each line is heard of when it is there."""

import base64
import json
from typing import Any

from ansible_runner.utils import OutputEventFilter
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.engine.runner import pieces_of

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20)


def event(number: int, text: str) -> str:
    """Give an event as ansible-runner's callback writes it around what Ansible displays."""
    return f"{token({'uuid': str(number)})}{text}\n{token({})}"


def token(data: dict[str, str]) -> str:
    """Give what stands before or behind the text of an event."""
    encoded = base64.b64encode(json.dumps(data).encode()).decode()
    return f"\x1b[K{encoded}\x1b[{len(encoded)}D\x1b[K"


@given(st.lists(st.tuples(st.booleans(), WORDS), max_size=8), st.lists(st.integers(1, 60)))
def test_every_line_is_heard_of(said: list[tuple[bool, str]], sizes: list[int]) -> None:
    """Whatever the output is cut into, no line and no event waits for more output."""
    heard: list[Any] = []
    # What is heard of is changed afterwards.
    events = OutputEventFilter(
        None, lambda each: heard.append(dict(each)), suppress_ansible_output=True
    )
    text, held = "", ""
    for number, (is_event, words) in enumerate(said):
        text += event(number, words) if is_event else f"{words}\n"
    while text:
        size = sizes.pop() if sizes else len(text)
        chunk, text = text[:size], text[size:]
        *pieces, held = pieces_of(held + chunk)
        for piece in pieces:
            events.write(piece)
    assert [each["stdout"] for each in heard] == [words for _, words in said]
    plain = [each.get("event") == "verbose" for each in heard]
    assert plain == [not is_event for is_event, _ in said]
