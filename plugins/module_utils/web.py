"""A file on a web server, asked for by urllib, with the user that its URL or netrc names."""

import netrc
from typing import Any, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    Request,
    build_opener,
)

__metaclass__ = type


def open_url(url: str, timeout: int) -> Any:
    """Ask for a file; proxies and certificates are those of the environment.

    Args:
        url: ``http[s]://[user[:password]@]host[:port]/path``.
        timeout: longest silence in seconds.

    Returns:
        The response, with ``headers``, ``read`` and ``close``.

    Raises:
        OSError: the server cannot be reached, or refuses (``urllib.error.HTTPError``).
        ValueError: it is no URL.
    """
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    passwords = HTTPPasswordMgrWithDefaultRealm()
    login = _login(parts)
    if login:
        passwords.add_password(None, place, *login)
    opener = build_opener(HTTPBasicAuthHandler(passwords), HTTPDigestAuthHandler(passwords))
    bare = urlunsplit(parts._replace(netloc=place))
    return opener.open(Request(bare, headers={"User-Agent": "tm_ansible"}), timeout=timeout)  # noqa: S310 - the caller has seen the scheme


def _login(parts: SplitResult) -> Optional[Tuple[str, str]]:
    if parts.username is not None:
        return unquote(parts.username), unquote(parts.password or "")
    try:
        found = netrc.netrc().authenticators(parts.hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None
