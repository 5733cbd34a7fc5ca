"""The conditions of the content, as the oldest ansible-core that is supported takes them."""

from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for directory in ("playbooks", "roles", "examples")
    for path in (CHECKOUT / directory).rglob("*.yml")
    if "collections" not in path.parts
)


def conditions(node: object) -> Iterator[str]:
    """Give every ``when`` of a YAML document."""
    if isinstance(node, list):
        for each in node:
            yield from conditions(each)
    elif isinstance(node, dict):
        when = node.get("when", [])
        yield from map(str, when if isinstance(when, list) else [when])
        yield from conditions(list(node.values()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_condition_may_stand_in_an_if(path: Path) -> None:
    """ansible-core 2.17 puts a condition into ``{% if … %}``, which takes no bare ``a if b``."""
    for condition in conditions(yaml.safe_load(path.read_text(encoding="utf-8"))):
        jinja2.Environment(autoescape=True).parse(f"{{% if {condition} %}}{{% endif %}}")
