"""Names as somebody would choose them who wants a part of us to take them for code.

Each name that could be executed would make a file of its own, a canary: its path stands in the
name without a slash, because a name has none, and without a blank, because a transfer script parts
its words there.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from pathlib import Path

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "hostile.json"
# What runs a command (a shell, a template, other programs), and what only looks odd.
RUNNING = ("shell", "templates", "code")
ODD = ("odd", "letters")
# Stands for a command that makes the canary.
COMMAND = "§"
# A shell's way to write "/" without one.
SLASH = "${PWD%%[!${PWD%${PWD#?}}]*}"
FORMS = ("{}", "disk.0{}", "{}.img", "a{}b")
LONG = ("A" * 255, "\u00e9" * 127, "\U0001f600" * 63, "x" * 250 + ".img")


def _kinds() -> Mapping[str, Sequence[str]]:
    kinds: dict[str, list[str]] = json.loads(FIXTURE.read_text("ascii"))
    return kinds


def corpus(canaries: Path) -> tuple[str, ...]:
    """Give names that a file system can have and that an action has to take as they are.

    Args:
        canaries: beginning of the paths of the canaries; a number follows it.

    Returns:
        Different names of at most 255 bytes each, about a thousand.
    """
    names = [
        shape.replace(COMMAND, "touch${IFS}" + _slashless(f"{canaries}{number}"))
        for number, shape in enumerate(dict.fromkeys(_shapes()))
    ]
    return tuple(name for name in names if len(name.encode()) <= 255)


def _shapes() -> Iterator[str]:
    kinds = _kinds()
    for forms, which in ((FORMS, RUNNING), (FORMS[:2], ODD)):
        for form, shape in product(forms, chain.from_iterable(kinds[kind] for kind in which)):
            yield form.replace("{}", shape)
    yield from LONG


def _slashless(path: str) -> str:
    return path.replace("/", SLASH)


def some(names: Iterable[str], count: int) -> tuple[str, ...]:
    """Give so many of the names, taken evenly from all of them."""
    whole = list(names)
    count = min(count, len(whole))
    return tuple(whole[number * len(whole) // count] for number in range(count))


def deep(canaries: Path) -> tuple[str, ...]:
    """Give names with slashes, which therefore become several directories."""
    command = f"touch${{IFS}}{canaries}"
    return (
        *(f"$({command}d0)", f"`{command}d1`", f";{command}d2;", f"|{command}d3", f"&{command}d4&"),
        *(f"{{{{lookup('pipe','{command}d5')}}}}", f"'$({command}d6)'", f'"`{command}d7`"'),
        *(f"-oProxyCommand={command}d8", f"--/{command}d9", f"{{%x%}}/$({command}d10)/{{#"),
        *("{{lookup('file','/etc/passwd')}}", "~/x", "$HOME/x", "a/*/b", "a/?/c", "a/-rf/d"),
    )


def unfit() -> tuple[bytes, ...]:
    """Give names that no image can have: the driver has to say so before anything runs."""
    controls = {chr(code) for code in (*range(1, 32), 127, *range(0x80, 0xA0))} - {"\n"}
    return (
        *sorted(f"a{control}b".encode() for control in controls),
        *(b"two words", b"x" * 256, "\u00e9".encode() * 128, b"d/" * 2048 + b"e", b"a\x00b"),
        *(b"\xff", b"a\x80b", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"caf\xe9"),
        *(b"..", b"a/../b", b"../../../etc/passwd", b"\x1b[31mred", b"\x1b]0;title\x07"),
        *(b".tm-0123456789abcdef." + kind for kind in (b"part", b"proven", b"gone", b"old/x")),
    )


def hosts(canaries: Path) -> tuple[str, ...]:
    """Give words that stand where a host does and are none."""
    command = "touch${IFS}" + _slashless(str(canaries))
    kinds = _kinds()
    running = chain.from_iterable(some(kinds[kind], 10) for kind in RUNNING)
    named = [shape.replace(COMMAND, command) for shape in running]
    return (*named, *kinds["hosts"], "x" * 64, "x" * 254)


def made(canaries: Path) -> list[str]:
    """Give the canaries that are there: what was executed."""
    return [name for name in os.listdir(canaries.parent) if name.startswith(canaries.name)]  # noqa: PTH208


def encoded(name: str) -> bytes:
    """Give the bytes of a name in a transfer script and in a file system."""
    return os.fsencode(name)
