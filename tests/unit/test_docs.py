"""The documentation: what it names is there, and what is there is named."""

import re
from pathlib import Path

import msgspec
import pytest

from tm_ansible.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")])


def anchors(page: Path) -> set[str]:
    """Give the places in a page that a link may name."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """Files and headings that a page names exist."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def keys(struct: msgspec.Struct) -> list[str]:
    """Give the settings as the table has them: ``a.b``, or ``.b`` behind another of the same."""
    found = []
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        nested = value.__struct_fields__ if isinstance(value, msgspec.Struct) else ()
        found += [f"{name}.{each}" for each in nested] or [name]
    return found


def test_every_setting_is_documented_and_no_other() -> None:
    """The table of docs/configuration.md and the settings that are read are the same."""
    text = (CHECKOUT / "docs/configuration.md").read_text(encoding="utf-8")
    section = text.partition("\n## settings.yml\n")[2].partition("\n## ")[0]
    documented: list[str] = []
    for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE):
        names = re.findall(r"`([\w.]+)`", row)
        group = names[0].partition(".")[0]
        documented += [group + name if name.startswith(".") else name for name in names]
    assert sorted(documented) == sorted(keys(Settings()))
