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
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.files import (
    make_directory,
    new_file,
    present,
    publish,
    temporary_name,
)
from ansible_collections.one.tm.plugins.module_utils.ftp import FtpFile
from ansible_collections.one.tm.plugins.module_utils.meter import Meter
from ansible_collections.one.tm.plugins.module_utils.paths import checked, scheme, without_secrets
from ansible_collections.one.tm.plugins.module_utils.room import need_room
from ansible_collections.one.tm.plugins.module_utils.sparse import BLOCK, write_sparse
from ansible_collections.one.tm.plugins.module_utils.tree import same_contents
from ansible_collections.one.tm.plugins.module_utils.web import open_url


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
            group.
        check_mode: ask the server, and only tell what would be done.

    Raises:
        TmError: the server does not give the whole file; no message has the URL's secrets.
    """
    attributes = attributes_of(params)
    destination = checked(params["destination"], "destination")
    name = os.path.basename(destination)
    remote = Remote(params["url"], params["timeout"])
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
    authority, _slash, path = url.partition("://")[2].partition("/")
    query = path.partition("?")[2].partition("#")[0]
    password = authority.rpartition("@")[0].partition(":")[2]
    secrets = [password, query if len(query) >= 8 else ""]
    return [text for secret in secrets if secret for text in (secret, unquote(secret))]


class Remote:
    """A file on a server. All its errors name the URL without its secrets."""

    def __init__(self, url: str, timeout: int) -> None:
        """Keep the URL and the longest silence in seconds."""
        self._url = url
        self._timeout = timeout
        self._response = None  # type: Any
        self.shown = without_secrets(url)

    def open(self) -> Offer:
        """Ask for the file and return what the server says of it."""
        with self._in_words():
            if _is_ftp(self._url):
                self._response = FtpFile(self._url, self._timeout)
            else:
                self._response = self._open_url()
        return read_offer(self._response.headers)

    def _open_url(self) -> Any:
        response = open_url(self._url, self._timeout)
        if scheme(response.geturl()) == "ftp" != scheme(self._url):
            response.close()
            raise URLError("the server redirects to ftp")
        return response

    def read(self) -> bytes:
        """Return the next piece, full size but at the end; empty behind it."""
        pieces, missing = [], BLOCK
        while missing:
            with self._in_words():
                piece = self._response.read(missing)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Hang up."""
        if self._response is not None:
            self._response.close()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
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
    make_directory(directory, wanted.attributes)
    if offer.size:
        need_room(directory, offer.size)
    temporary = temporary_name(destination)
    with about(destination), new_file(destination) as descriptor:
        size = _receive(remote, descriptor, wanted.meter)
        if offer.size is not None and size != offer.size:
            raise TmError(
                "downloading %s failed: %d bytes came instead of %d"
                % (remote.shown, size, offer.size)
            )
        formats.check(destination, descriptor, wanted.rules)
        if os.path.isfile(destination) and same_contents(temporary, destination):
            return None
        if offer.modified is not None:
            os.utime(descriptor, (offer.modified, offer.modified))
        with wanted.meter.beating():
            publish(temporary, destination, wanted.attributes)
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
