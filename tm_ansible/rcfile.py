"""The rc file of a driver: shell-style ``NAME=value`` lines, read without a shell."""

import re
import shlex
from pathlib import Path

from tm_ansible.errors import SettingsError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a shell reads of a line; what is left begins a comment, if it begins with "#".
_CODE = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|(?<![\s;])(?<!^)\#|[^'"\\#])*""")
# Where a shell expands nothing: in single quotes, behind a backslash.
_LITERAL = re.compile(r"'[^']*'|\\.")


def read_rc(path: Path) -> dict[str, str]:
    """Read an rc file.

    Args:
        path: of a file with lines ``NAME=value`` or ``export NAME=value``, quoted as in a shell;
            a missing one sets nothing.

    Returns:
        The values by name.

    Raises:
        SettingsError: it cannot be read, or a line needs a shell; the message names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8") from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        values |= _parse_line(line, f"{path}: line {number}")
    return values


def _parse_line(line: str, where: str) -> dict[str, str]:
    code = _CODE.match(line)
    if code and line.startswith("#", code.end()):
        line = code[0]
    if re.search(r"[$`\0]", _LITERAL.sub("", line)):
        raise SettingsError(f"{where}: '$' and '`' are not expanded: write the value out")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        raise SettingsError(f"{where}: a quote is not closed") from None
    values: dict[str, str] = {}
    exported = False
    for word in words:
        name, equals, value = word.partition("=")
        if equals and _NAME.fullmatch(name):
            values[name] = value
        elif word == "export" or set(word) == {";"}:
            exported = word == "export"
        elif not (exported and _NAME.fullmatch(word)):
            raise SettingsError(f"{where}: expected NAME=value, found {word[:80]!r}")
    return values
