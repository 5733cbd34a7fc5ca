"""A file on a web server, asked for by urllib, with the user that its URL or netrc names."""

import functools
import http.client
import netrc
import ssl
from typing import Any, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDefaultErrorHandler,
    HTTPDigestAuthHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPPasswordMgrWithDefaultRealm,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.webrules import Deadline, Guard

__metaclass__ = type


def open_url(url: str, timeout: int, guard: Guard, deadline: Deadline) -> Any:
    """Ask for a file; proxies and certificates are those of the environment.

    Args:
        url: ``http[s]://[user[:password]@]host[:port]/path``; ``ftp`` only by a proxy.
        timeout: longest silence in seconds.
        guard: judges every server on the way.
        deadline: ends it.

    Returns:
        The response, with ``headers``, ``read`` and ``close``.

    Raises:
        TmError: a server on the way is not allowed.
        OSError: the server cannot be reached, or refuses (``urllib.error.HTTPError``).
        ValueError: it is no URL.
    """
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    passwords = HTTPPasswordMgrWithDefaultRealm()
    login = _login(parts)
    if login:
        passwords.add_password(None, place, *login)
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        _Http(guard, deadline),
        _Https(guard, deadline),
        _Redirects(guard),
        HTTPBasicAuthHandler(passwords),
        HTTPDigestAuthHandler(passwords),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    guard.check_host(parts.hostname or "")
    bare = urlunsplit(parts._replace(netloc=place))
    return opener.open(Request(bare, headers={"User-Agent": "tm_ansible"}), timeout=timeout)  # noqa: S310 - the caller has seen the scheme


class _Guarded:
    """Makes connections as the rules allow them."""

    def __init__(self, guard: Guard, deadline: Deadline, *arguments: Any, **options: Any) -> None:
        super(_Guarded, self).__init__(*arguments, **options)
        self._guard = guard
        self._deadline = deadline

    def _open(self, kind: Any, request: Any, **options: Any) -> Any:
        """Open a request; a proxy is the site's own choice, and judges addresses itself."""
        is_proxied = request.has_proxy() or bool(getattr(request, "_tunnel_host", None))

        def begin(host: str, **more: Any) -> Any:
            connection = kind(host, **more)
            make = connection._create_connection if is_proxied else self._connect
            connection._create_connection = functools.partial(self._watched, make)
            return connection

        return self.do_open(begin, request, **options)  # type: ignore[attr-defined]

    def _connect(self, place: Tuple[str, int], timeout: Any = None, _source: Any = None) -> Any:
        return self._guard.connect(place, timeout)

    def _watched(self, make: Any, *arguments: Any, **options: Any) -> Any:
        return self._deadline.watch(make(*arguments, **options))


class _Http(_Guarded, HTTPHandler):
    def http_open(self, request: Any) -> Any:
        return self._open(http.client.HTTPConnection, request)


class _Https(_Guarded, HTTPSHandler):
    def https_open(self, request: Any) -> Any:
        context = ssl.create_default_context()
        return self._open(http.client.HTTPSConnection, request, context=context)


class _Redirects(HTTPRedirectHandler):
    """Follows a redirect to where the first request might have gone as well."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def http_error_302(self, request: Any, response: Any, *answer: Any) -> Any:
        """Follow, without what comes with the redirect: urllib would read it to its end."""
        response.close()
        return super(_Redirects, self).http_error_302(request, response, *answer)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, *arguments: Any) -> Any:
        """Judge the new URL; the old request's login does not go with it."""
        old, parts = urlsplit(arguments[0].full_url), urlsplit(arguments[-1])
        if parts.scheme not in ("http", "https") or (old.scheme, parts.scheme) == ("https", "http"):
            raise TmError("the server redirects from %s to %s" % (old.scheme, parts.scheme))
        self._guard.check_scheme(parts.scheme)
        self._guard.check_host(parts.hostname or "")
        return super(_Redirects, self).redirect_request(*arguments)


def _login(parts: SplitResult) -> Optional[Tuple[str, str]]:
    if parts.username is not None:
        return unquote(parts.username), unquote(parts.password or "")
    try:
        found = netrc.netrc().authenticators(parts.hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None
