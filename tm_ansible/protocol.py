"""The lines that oned and a transfer driver exchange. Text only: nothing here reads or writes.

The forms are those of oned 1.2 and of today's oned, which puts an empty status field (hence a
double blank) in front of the VM's number.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tm_ansible.engine.job import Severity

# A write(2) of at most PIPE_BUF bytes arrives whole; oned 1.2 gives a driver up when 25 ms pass
# inside a line.
MAX_LINE = 4096

_NO_REASON = "the transfer failed and no cause was reported"
_MAX_ID = 2**31 - 1
_PLAIN = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Init:
    """oned asks whether the driver is ready."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """oned asks the driver to end."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """oned asks for the actions in a file.

    Attributes:
        vm_id: the VM's number.
        script: path of the transfer script.
    """

    vm_id: int
    script: str


@dataclass(frozen=True, slots=True)
class DriverCancel:
    """oned takes the transfer of a VM back and expects no reply to it.

    Attributes:
        vm_id: the VM's number.
    """

    vm_id: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that asks for nothing that can be done.

    Attributes:
        text: the beginning of the line, cleaned.
        reason: what is wrong with it.
        vm_id: the VM that waits for an answer, or None.
    """

    text: str
    reason: str
    vm_id: int | None


Request: TypeAlias = Init | Finalize | Transfer | DriverCancel | Malformed


def parse_request(line: bytes) -> Request | None:
    """Tell what oned asks for.

    Args:
        line: one line, with or without its newline.

    Returns:
        The request, or None for a blank line. Never raises.
    """
    text = line.decode("utf-8", "surrogateescape").strip(" \t\r\n")
    verb, rest = _split(text)
    if not verb:
        return None
    if verb == "INIT":
        return Init()
    if verb == "FINALIZE":
        return Finalize()
    if verb == "TRANSFER":
        return _parse_transfer(text, rest)
    if verb == "DRIVER_CANCEL":
        vm_id = _parse_id(_split(rest)[0])
        return _malformed(text, "no VM number") if vm_id is None else DriverCancel(vm_id)
    return _malformed(text, "unknown verb")


def _parse_transfer(text: str, rest: str) -> Transfer | Malformed:
    word, script = _split(rest)
    vm_id = _parse_id(word)
    if vm_id is None:
        return _malformed(text, "no VM number")
    if not script:
        return _malformed(text, "TRANSFER names no transfer script", vm_id)
    return Transfer(vm_id, script)


def _split(text: str) -> tuple[str, str]:
    """Take the first word off; the fields of a line are split on runs of blanks."""
    word, *rest = re.split(r"[ \t]+", text, maxsplit=1)
    return word, rest[0] if rest else ""


def _parse_id(word: str) -> int | None:
    if re.fullmatch(r"[0-9]{1,10}", word) and int(word) <= _MAX_ID:
        return int(word)
    return None


def _malformed(text: str, reason: str, vm_id: int | None = None) -> Malformed:
    return Malformed(clean(text[:500]), reason, vm_id)


def clean(text: str) -> str:
    r"""Make a text fit for one line of UTF-8.

    Newlines and tabs become blanks. Control, format (bidirectional ones, say), line separator,
    private and non-characters become visible: ``\x1b``, ``\u202e``; so do bytes that were no UTF-8.

    Args:
        text: anything, with lone surrogates too.

    Returns:
        The text without any such character.
    """
    return _PLAIN.sub(_visible, text.replace("\r\n", "\n"))


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in "\t\n\r":
        return " "
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    if 0xDC80 <= code <= 0xDCFF:  # a byte that "surrogateescape" let through
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def render_log(severity: Severity, vm_id: int, text: str) -> list[bytes]:
    """Write a text as lines for a VM's log.

    Args:
        severity: how serious it is.
        vm_id: the VM's number, or -1 for oned's own log.
        text: any text; a long one is split, at blanks where there are any.

    Returns:
        Whole lines of at most ``MAX_LINE`` bytes; none for a blank text.
    """
    head = f"LOG {severity.value} {vm_id} ".encode()
    data = clean(text).rstrip().encode()
    return [head + part + b"\n" for part in _parts(data, MAX_LINE - len(head) - 1)]


def _parts(data: bytes, room: int) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = _cut(data, start, room)
        part = data[start:end].rstrip(b" ")
        if part:
            yield part
        start = end


def _cut(data: bytes, start: int, room: int) -> int:
    """Find where a part of at most ``room`` bytes ends: behind a blank, else before a character."""
    end = start + room
    if end >= len(data):
        return len(data)
    blank = data.rfind(b" ", start + room // 2, end)
    if blank > 0:
        return blank + 1
    while data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def render_reply(vm_id: int, reason: str | None) -> bytes:
    """Write the one answer to a TRANSFER.

    Args:
        vm_id: the VM's number.
        reason: None for success; else why it failed, which oned shows to the VM's owner.

    Returns:
        One whole line of at most ``MAX_LINE`` bytes.
    """
    if reason is None:
        return f"TRANSFER SUCCESS {vm_id} -\n".encode()
    return _render_reason(f"TRANSFER FAILURE {vm_id} ", reason)


def init_success() -> bytes:
    """Write the answer of a driver that is ready."""
    return b"INIT SUCCESS\n"


def init_failure(reason: str) -> bytes:
    """Write the answer of a driver that cannot work.

    Args:
        reason: why, with what tells most in front: today's oned reads 31 bytes of the answer.

    Returns:
        One whole line of at most ``MAX_LINE`` bytes.
    """
    return _render_reason("INIT FAILURE ", reason)


def _render_reason(head: str, reason: str) -> bytes:
    # oned takes a reason that is empty, or begins with "-", for none.
    data = (clean(reason).strip().lstrip("- ") or _NO_REASON).encode()
    room = MAX_LINE - len(head) - 1
    if len(data) > room:
        mark = "…".encode()
        data = data[: _cut(data, 0, room - len(mark))].rstrip(b" ") + mark
    return head.encode() + data + b"\n"
