"""The arguments of an action that name a place: ``<host>:<path>`` and URLs."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address

from tm_ansible.errors import ScriptError

_MAX_PATH = 4095
_MAX_NAME = 255
_MAX_HOST = 253
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# A URL's host and port.
_SERVER = re.compile(r"(\[[^\[\]]*\]|[^:@\[\]]*)(:[0-9]*)?")
# Schemes even on a machine of that name.
_WEB = ("ftp", "http", "https")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# Ansible's names for every host and for those of no group.
_RESERVED_HOSTS = ("all", "ungrouped")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A file or directory on a host.

    Attributes:
        host: a name or an address, without brackets.
        path: absolute, without ``//``, ``.`` and a closing ``/``.
    """

    host: str
    path: str

    def __str__(self) -> str:
        """Write it as an argument: ``<host>:<path>``, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.path}"


@dataclass(frozen=True, slots=True)
class Url:
    """A source that is fetched.

    Attributes:
        text: the URL as it stands.
    """

    text: str

    @property
    def shown(self) -> str:
        """The URL for logs: without user, password and query, which may be secrets."""
        scheme, _, rest = self.text.partition("://")
        authority, path = _split_authority(rest)
        user, at, host = authority.rpartition("@")
        if not _SERVER.fullmatch(host) or (not user and ":" in host and "@" in path):
            # A "/", "?" or "#" of the password itself ends what is the host for all others.
            _, at, rest = rest.rpartition("@")
            host, path = _split_authority(rest) if at else ("***", "")
        path = re.sub(r"[?#].*", "?***", path)
        return f"{scheme}://{'***@' if at else ''}{host}{path}"

    def __str__(self) -> str:
        """Write it as an argument."""
        return self.text


def parse_endpoint(word: str, *, role: str, read_only: bool = False) -> Endpoint:
    """Read an argument of the form ``<host>:<path>``.

    Args:
        word: the argument.
        role: what it is, for messages: ``source``, ``destination``.
        read_only: whether it is never changed; only then it may be ``/``.

    Returns:
        The place, its path normalised.

    Raises:
        ScriptError: it is not of that form, or names a place that must not be touched.
    """
    check_word(word, role=role)
    bracket = re.match(r"\[([^]]*)\]:", word)
    if bracket:
        host, path = bracket[1], word[bracket.end() :]
        _check_address(host, role)
    else:
        host, colon, path = word.partition(":")
        if not colon:
            raise ScriptError(f"the {role} {shown(word)} is not of the form <host>:<path>")
        _check_host(host, role)
    return Endpoint(host, _parse_path(path, role, read_only=read_only))


def parse_source(word: str, *, role: str = "source", hosts: Collection[str] = ()) -> Endpoint | Url:
    """Read the source of a CLONE or LN: ``<host>:<path>`` or a URL.

    Args:
        word: the argument.
        role: what it is, for messages.
        hosts: names, in lower case, that are hosts and no schemes: oned writes ``fe://srv/a.img``
            when the path begins with two slashes.

    Returns:
        The place, which may be any, or the URL.

    Raises:
        ScriptError: it is neither.
    """
    match = _URL.match(word)
    scheme = match[1].lower() if match else ""
    if match is None or (scheme in hosts and scheme not in _WEB):
        return parse_endpoint(word, role=role, read_only=True)
    check_word(word, role=role)
    host = _split_authority(word[match.end() :])[0].rpartition("@")[2]
    if host.startswith("-"):
        raise ScriptError(f"the {role}'s host {shown(host)} begins with '-'")
    return Url(word)


def check_word(word: str, *, role: str) -> None:
    """Refuse what no argument may be, whoever reads it.

    Args:
        word: the argument.
        role: what it is, for messages.

    Raises:
        ScriptError: it begins with ``-``, or holds control characters or broken UTF-8.
    """
    if word.startswith("-"):
        raise ScriptError(f"the {role} {shown(word)} begins with '-'")
    if _CONTROL.search(word):
        raise ScriptError(f"the {role} {shown(word)} holds control characters")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ScriptError(f"the {role} {shown(word)} is not UTF-8") from None


def shown(word: str) -> str:
    """Write a word for a message: on one line, without control characters, not too long."""
    text = Url(word).shown if _URL.match(word) else word
    text = text if len(text) <= 120 else text[:119] + "…"
    return repr(text)[1:-1] if text else "''"


def _check_host(host: str, role: str) -> None:
    if not host:
        raise ScriptError(f"the {role} names no host: expected <host>:<path>")
    if len(host) > _MAX_HOST or not _HOST.fullmatch(host):
        raise ScriptError(f"the {role}'s host {shown(host)} is neither a name nor an address")
    if host.lower() in _RESERVED_HOSTS:
        raise ScriptError(f"the {role}'s host {host} is a name that Ansible keeps for a group")


def _check_address(host: str, role: str) -> None:
    try:
        scoped = IPv6Address(host).scope_id
    except ValueError:
        scoped = ""
    if scoped is not None:
        raise ScriptError(f"the {role}'s host [{shown(host)}] is not an IPv6 address")


def _parse_path(path: str, role: str, *, read_only: bool) -> str:
    if not path.startswith("/"):
        what = f"path {shown(path)} is not absolute" if path else "path is empty"
        raise ScriptError(f"the {role}'s {what}: expected <host>:/<path>")
    names = [name for name in path.split("/") if name not in ("", ".")]
    normal = "/" + "/".join(names)
    if len(normal.encode()) > _MAX_PATH:
        raise ScriptError(f"the {role}'s path is longer than {_MAX_PATH} bytes: {shown(path)}")
    if any(len(name.encode()) > _MAX_NAME for name in names):
        raise ScriptError(f"the {role}'s path holds a name of more than {_MAX_NAME} bytes")
    if ".." in names:
        raise ScriptError(f"the {role}'s path {shown(path)} holds '..', which no path may")
    if not read_only and not names:
        raise ScriptError(f"the {role} is the root directory, which is never changed")
    return normal


def _split_authority(rest: str) -> tuple[str, str]:
    """Part what follows a URL's ``://`` into user and host, and the remainder."""
    end = re.search(r"[/?#]", rest)
    return (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
