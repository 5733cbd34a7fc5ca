"""Which paths may be acted on. Nothing here changes anything."""

import os
import re
from typing import List, Optional, Sequence, Tuple

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# RFC 3986, 3.2: what a URL's server is named by ends there, and what it is without a user.
AUTHORITY = re.compile(r"[^/?#]*")
SERVER = re.compile(r"(\[[^\[\]]*\]|[^:@\[\]]*)(:[0-9]*)?\Z")
BRACKETS = re.compile(r"\[([^\]]*)\]:(.*)", re.DOTALL)


def scheme(argument: str) -> str:
    """Return the scheme of a URL in lower case, or nothing for ``<host>:<path>`` and paths."""
    match = SCHEME.match(argument)
    return match.group(1).lower() if match else ""


def split(argument: str) -> Tuple[str, str]:
    """Split an action's argument into host and path.

    ``<host>:<path>`` is the Storage Guide's form; an IPv6 address stands in brackets. A path alone
    has no host. Of a URL these are the server's name and the path on it.

    Args:
        argument: as the transfer script has it.
    """
    if scheme(argument):
        _user, server, path = _url(argument)
        return re.sub(r":\d*$", "", server).strip("[]"), path
    match = BRACKETS.match(argument)
    if match:
        return match.group(1), tidy(match.group(2))
    if argument.startswith("/") or ":" not in argument:
        return "", tidy(argument)
    host, _colon, path = argument.partition(":")
    return host, tidy(path)


def _url(url: str) -> Tuple[str, str, str]:
    """Split what follows a URL's ``://`` into user, server and the rest."""
    text = url.partition("://")[2]
    authority = AUTHORITY.match(text).group()  # type: ignore[union-attr]
    user, _at, server = authority.rpartition("@")
    return user, server, text[len(authority) :]


def names_server(url: str) -> bool:
    """Tell whether a host, and perhaps a port, stands where a URL has its server."""
    user, server, _rest = _url(url)
    return bool(SERVER.match(server)) and not set(user) & set("[]")


def user_of(url: str) -> str:
    """Return what may be a URL's user and password.

    One that has a ``/``, ``?`` or ``#`` as it is ends what names the server, for everybody who
    reads the URL; it is a secret all the same.
    """
    user, server, rest = _url(url)
    if names_server(url) and (user or ":" not in server or "@" not in rest):
        return user
    text = url.partition("://")[2]
    return text.rpartition("@")[0] or text


def without_secrets(argument: str) -> str:
    """Return an argument as it may be shown: a URL without user, password, query and fragment."""
    match = SCHEME.match(argument)
    if not match:
        return argument
    user, server, rest = _url(argument)
    secret, shown = user_of(argument), server + rest
    if secret != user:
        shown = "***" + argument[match.end() + len(secret) :]
    return match.group(0) + re.split("[?#]", shown, maxsplit=1)[0]


def tidy(path: str) -> str:
    """Return a path without empty parts and ``.``; a part ``..`` stays for the check to see."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def checked(path: str, what: str) -> str:
    """Return a path tidied, or refuse it if nothing may be done with it.

    Args:
        path: absolute path as it came from outside.
        what: its role in the action, for the message: ``source``, ``destination``.

    Raises:
        TmError: it is empty, relative, ``/``, has ``..`` or control characters, or is too long.
    """
    reason = _fault(tidy(path))
    if reason:
        raise TmError("refused the %s %s: %s" % (what, ascii(path)[:300], reason))
    return tidy(path)


def _fault(path: str) -> Optional[str]:
    rules = (
        (not path, "it is empty"),
        (any(ord(char) < 32 or ord(char) == 127 for char in path), "it has control characters"),
        (not path.startswith("/"), "it is not an absolute path"),
        (path == "/", "it is the root of the file system"),
        (".." in path.split("/"), "it has a part '..', which no path may"),
        (len(path.encode("utf-8", "surrogateescape")) > 4095, "it is longer than 4095 bytes"),
    )
    return next((reason for broken, reason in rules if broken), None)


def real_place(path: str) -> str:
    """Return the path with its directory's links followed, its last part as it is."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def roots(directories: Sequence[str]) -> List[str]:
    """Return the real paths of directories; ``/`` and what is relative never count."""
    real = [os.path.realpath(directory) for directory in directories if directory.startswith("/")]
    return [root for root in real if root != "/"]


def below(real: str, directories: Sequence[str]) -> bool:
    """Tell whether a real path lies below one of several directories."""
    return any(real.startswith(root + "/") for root in roots(directories))


def with_real(path: str, real: str) -> str:
    """Return a path for a message, with its real one where that is another."""
    return path if path == real else "%s (really %s)" % (path, real)
