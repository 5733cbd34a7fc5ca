"""oned's template grammar, in which ``oned.conf`` and the action maps are written.

``NAME = value``, ``NAME = "any value"`` and ``NAME = [ KEY = value, KEY = "value" ]``, which may
span lines; ``#`` begins a comment; case does not matter in names; a name may come again. A value
without quotes holds no blank and none of ``= , [ ] # "``. As the parser of OpenNebula reads it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from tm_ansible.errors import SettingsError

Value: TypeAlias = str | Mapping[str, str]

_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|\#[^\n]*)
    |   (?P<newline>\n)
    |   (?P<mark>[=,\[\]])
    |   "(?P<quoted>(?:[^"\\]|\\.)*)"
    |   (?P<word>[^ \t\r\n=,\[\]\#"]+)""",
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One ``NAME = value``.

    Attributes:
        line: where it begins, counted from 1.
        name: in upper case.
        value: a text, or a vector's texts by upper-case name.
    """

    line: int
    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template.

    Attributes:
        attributes: in the order of the text.
    """

    attributes: tuple[Attribute, ...]

    def get(self, name: str) -> str | None:
        """Return the last text that is set for a name, or None."""
        values = [value for key, value in self.items() if key == name.upper()]
        texts = [value for value in values if isinstance(value, str)]
        return texts[-1] if texts else None

    def vectors(self, name: str) -> list[Mapping[str, str]]:
        """Return every vector of a name, in the order of the text."""
        values = [value for key, value in self.items() if key == name.upper()]
        return [value for value in values if not isinstance(value, str)]

    def items(self) -> tuple[tuple[str, Value], ...]:
        """Return names and values in the order of the text."""
        return tuple((attribute.name, attribute.value) for attribute in self.attributes)


@dataclass(frozen=True, slots=True)
class _Token:
    line: int
    kind: str
    text: str


def parse_template(text: str) -> Template:
    """Read a template.

    Args:
        text: the whole of it.

    Returns:
        Its attributes.

    Raises:
        SettingsError: it breaks the grammar; the message begins with the line.
    """
    return Template(tuple(_Parser(text).attributes()))


def _tokens(text: str) -> Iterator[_Token]:
    line, position = 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:  # nothing else than a quote can fail to match
            raise SettingsError(f'line {line}: the quote (") is not closed')
        kind = str(match.lastgroup)
        if kind != "skip":
            yield _Token(line, kind, match[kind])
        line += match[0].count("\n")
        position = match.end()
    yield _Token(line, "newline", "\n")


class _Parser:
    """Takes a template's tokens one by one."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0

    def attributes(self) -> Iterator[Attribute]:
        while self._skip_newlines():
            line, name = self._name()
            if self._peek().text == "[" and self._peek().kind == "mark":
                self._take()
                value: Value = self._vector(line, name)
            else:
                value = self._value(name)
            self._end_of_line()
            yield Attribute(line, name, value)

    def _vector(self, line: int, name: str) -> Mapping[str, str]:
        pairs: dict[str, str] = {}
        while True:
            if not self._skip_newlines():
                raise SettingsError(f"line {line}: the bracket of {name} is not closed")
            _, key = self._name()
            pairs[key] = self._value(key)
            if not self._skip_newlines():
                raise SettingsError(f"line {line}: the bracket of {name} is not closed")
            mark = self._take()
            if mark.kind == "mark" and mark.text == "]":
                return MappingProxyType(pairs)
            if mark.kind != "mark" or mark.text != ",":
                raise _unexpected(mark, f"',' or ']' behind {key}")

    def _name(self) -> tuple[int, str]:
        name = self._take()
        if name.kind != "word" or not _NAME.fullmatch(name.text):
            raise _unexpected(name, "a name")
        mark = self._take()
        if mark.kind != "mark" or mark.text != "=":
            raise _unexpected(mark, f"'=' behind {name.text}")
        return name.line, name.text.upper()

    def _value(self, name: str) -> str:
        token = self._take()
        if token.kind == "word":
            return token.text
        if token.kind == "quoted":
            return token.text.replace('\\"', '"')
        raise _unexpected(token, f"a value of {name}")

    def _end_of_line(self) -> None:
        token = self._take()
        if token.kind != "newline":
            raise _unexpected(token, 'the end of the line (a value with blanks needs "")')

    def _skip_newlines(self) -> bool:
        """Go to the next token that is no newline; tell whether there is one."""
        while self._next < len(self._tokens) and self._peek().kind == "newline":
            self._next += 1
        return self._next < len(self._tokens)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token


def _unexpected(token: _Token, expected: str) -> SettingsError:
    found = "the end of the line" if token.kind == "newline" else repr(token.text[:80])
    return SettingsError(f"line {token.line}: expected {expected}, found {found}")
