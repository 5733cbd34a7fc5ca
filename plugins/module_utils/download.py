"""A source with a URL, fetched by the host that wants it."""

import calendar
import contextlib
import email.utils
import ftplib
import os
import socket
from http.client import HTTPException
from typing import Any, Dict, Iterator, List, NamedTuple, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ansible_collections.one.tm.plugins.module_utils import formats
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, attributes_of
from ansible_collections.one.tm.plugins.module_utils.directories import workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.files import (
    new_file,
    present,
    publish,
    temporary_name,
)
from ansible_collections.one.tm.plugins.module_utils.ftp import FtpFile
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from ansible_collections.one.tm.plugins.module_utils.paths import (
    names_server,
    scheme,
    split,
    user_of,
    without_secrets,
)
from ansible_collections.one.tm.plugins.module_utils.policy import check_destination, policy_of
from ansible_collections.one.tm.plugins.module_utils.room import need_room
from ansible_collections.one.tm.plugins.module_utils.sizes import human
from ansible_collections.one.tm.plugins.module_utils.sparse import BLOCK, write_sparse
from ansible_collections.one.tm.plugins.module_utils.tree import same_contents
from ansible_collections.one.tm.plugins.module_utils.web import open_url
from ansible_collections.one.tm.plugins.module_utils.webrules import (
    Deadline,
    Guard,
    WebRules,
    rules_of,
)


class Offer(NamedTuple):
    """What a server says before it sends.

    Attributes:
        size: in bytes, or None.
        modified: seconds since the epoch, or None.
    """

    size: Optional[int]
    modified: Optional[int]


class _Wanted(NamedTuple):
    """What a download gets, what it may be, and what measures it."""

    attributes: Attributes
    rules: formats.Rules
    meter: Meter


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Fetch a URL unless the destination is what it offers.

    Args:
        params: url, destination, timeout (seconds of silence), format, bandwidth_mib, mode, owner,
            group, those of ``policy.ARGUMENTS`` and ``webrules.ARGUMENTS``.
        check_mode: ask the server, and only tell what would be done.

    Raises:
        TmError: the server does not give the whole file; no message has the URL's secrets.
    """
    attributes = attributes_of(params)
    if any(ord(char) < 32 or ord(char) == 127 for char in params["url"]):
        shown = ascii(without_secrets(params["url"]))[:300]
        raise TmError("downloading %s failed: it holds control characters" % shown)
    if not names_server(params["url"]):
        # What stands there may be half of a password, which no reason is to name.
        raise TmError(
            "downloading %s failed: no <host>[:<port>] stands behind its ://; write %%2F, %%3F, "
            "%%23, %%5B, %%5D for / ? # [ ] in a user or password" % without_secrets(params["url"])
        )
    destination = check_destination(params["destination"], policy_of(params))
    name = os.path.basename(destination)
    remote = Remote(params["url"], params["timeout"], rules_of(params))
    try:
        offer = remote.open()
        if _is_complete(offer, destination):
            size = None
        elif check_mode:
            log = "would download %s to %s" % (remote.shown, name)
            return {"changed": True, "tm_log": [log]}
        else:
            rules = formats.rules_of(params, alone=True)
            meter = Meter(name, offer.size or 0, params.get("bandwidth_mib") or 0)
            size = _save(remote, offer, destination, _Wanted(attributes, rules, meter))
    finally:
        remote.close()
    if size is None:
        return {"changed": False, "tm_log": ["%s is already complete" % name]}
    log = "downloaded %s to %s: %s" % (remote.shown, name, meter.summary())
    return {"changed": True, "tm_log": [log], "bytes": size, "copy_seconds": meter.seconds}


def secrets_of(url: str) -> List[str]:
    """Return what may not be shown of a URL, for Ansible to keep it out of every output.

    A short query is no secret, and hiding it would blacken innocent words.
    """
    query = url.partition("?")[2].partition("#")[0]
    user = user_of(url)
    # The user's name alone may be an innocent word, too.
    secrets = [user + "@" if user else "", user.partition(":")[2], query if len(query) >= 8 else ""]
    return [text for secret in secrets if secret for text in (secret, unquote(secret))]


class Remote:
    """A file on a server. All its errors name the URL without its secrets."""

    def __init__(self, url: str, timeout: int, rules: WebRules) -> None:
        """Keep the URL, the longest silence in seconds and what is allowed; begin to count time."""
        self._url = url
        self._timeout = timeout
        self._rules = rules
        self._guard = Guard(rules, split(url)[0])
        self._deadline = Deadline(rules.seconds)
        self._bytes = 0
        self._response = None  # type: Any
        self.shown = without_secrets(url)

    def open(self) -> Offer:
        """Ask for the file and return what the server says of it."""
        with self._in_words():
            self._guard.check_scheme(scheme(self._url))
            open_ = FtpFile if _is_ftp(self._url) else open_url
            self._response = open_(self._url, self._timeout, self._guard, self._deadline)
        offer = read_offer(self._response.headers)
        self._check_size(offer.size or 0)
        return offer

    def _check_size(self, size: int) -> None:
        if self._rules.bytes and size > self._rules.bytes:
            limit = human(self._rules.bytes)
            raise TmError("%s is more than %s (setting urls.size_gib)" % (self.shown, limit))

    def read(self) -> bytes:
        """Return the next piece, full size but at the end; empty behind it."""
        pieces, missing = [], BLOCK
        while missing:
            with self._in_words():
                piece = self._response.read(missing)
                # A connection that was shut may look like one that has ended.
                if self._deadline.is_over:
                    raise socket.timeout
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
            self._bytes += len(piece)
            self._check_size(self._bytes)
        return b"".join(pieces)

    def close(self) -> None:
        """Hang up."""
        self._deadline.cancel()
        if self._response is not None:
            self._response.close()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except TmError as error:
            cause = error.message
        except socket.timeout:
            cause = "no data for %d s" % self._timeout
        except HTTPError as error:
            cause = "the server says %d %s" % (error.code, error.reason)
            error.close()
        except URLError as error:
            cause = str(error.reason)
        except ftplib.Error as error:
            cause = str(error)
        except (OSError, EOFError, HTTPException, ValueError) as error:
            cause = "%s (%s)" % (error, type(error).__name__)
        else:
            return
        if self._deadline.is_over:
            cause = "it took more than %g s (setting urls.seconds)" % self._rules.seconds
        for secret in secrets_of(self._url):
            cause = cause.replace(secret, "***")
        raise TmError("downloading %s failed: %s" % (self.shown, cause))


def _is_ftp(url: str) -> bool:
    """Tell whether a URL is to be fetched by ftp itself, and not by a proxy that speaks http."""
    is_proxied = "ftp" in getproxies() and not proxy_bypass(urlsplit(url).hostname or "")
    return scheme(url) == "ftp" and not is_proxied


def read_offer(headers: Any) -> Offer:
    """Return size and time of a response.

    Args:
        headers: ``Content-Length`` and ``Last-Modified`` (RFC 9110, 8.6 and 8.8.2), where given.
    """
    length = headers.get("Content-Length")
    parsed = email.utils.parsedate(headers.get("Last-Modified") or "")
    return Offer(
        int(length) if length and length.isdigit() else None,
        calendar.timegm(parsed) if parsed else None,
    )


def _is_complete(offer: Offer, destination: str) -> bool:
    """Tell whether a destination has the size and time offered; without both nobody knows."""
    there = present(destination)
    return there is not None and (there.st_size, int(there.st_mtime)) == offer


def _save(remote: Remote, offer: Offer, destination: str, wanted: _Wanted) -> Optional[int]:
    """Fetch to a destination; return its size in bytes, or None if it was there already."""
    directory = os.path.dirname(destination)
    if offer.size:
        need_room(directory, offer.size)
    below = workplace(destination, wanted.attributes)
    with below as place, about(destination), new_file(place) as descriptor:
        size = _receive(remote, descriptor, wanted.meter)
        if offer.size is not None and size != offer.size:
            raise TmError(
                "downloading %s failed: %d bytes came instead of %d"
                % (remote.shown, size, offer.size)
            )
        formats.check(destination, descriptor, wanted.rules)
        temporary = temporary_name(place)
        if os.path.isfile(place) and same_contents(temporary, place):
            return None
        if offer.modified is not None:
            os.utime(descriptor, (offer.modified, offer.modified))
        with wanted.meter.beating():
            publish(temporary, place, wanted.attributes)
    return size


def _receive(remote: Remote, descriptor: int, meter: Meter) -> int:
    """Write what comes into an empty file, zeros as holes; return the number of bytes."""
    size = 0
    for data in iter(remote.read, b""):
        meter.move(len(data))
        write_sparse(descriptor, data, size)
        size += len(data)
        meter.reach(size)
    os.ftruncate(descriptor, size)
    return size
