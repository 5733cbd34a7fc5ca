"""Which servers a URL may lead to, and how much of them is taken.

An address is judged when it is connected to, and that very address is connected to, so that a name
that changes its mind between question and connection leads nowhere else.
"""

import contextlib
import ipaddress
import socket
import threading
import time
from typing import Any, Mapping, NamedTuple, Sequence, Tuple

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

ANY = "*"
GIB = 1 << 30

# What actions that fetch take, as AnsibleModule's arguments.
ARGUMENTS = {
    "schemes": {"type": "list", "elements": "str", "default": ["http", "https", "ftp"]},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "size_gib": {"type": "float", "default": 0},
    "seconds": {"type": "float", "default": 0},
}


class WebRules(NamedTuple):
    """What a site allows of URLs.

    Attributes:
        schemes: in lower case.
        hosts: names, ``*.domain``, addresses and networks; ``*`` for any; none for any, too.
        bytes: most that an image may have; 0 for no limit.
        seconds: most that a download may take; 0 for no limit.
    """

    schemes: Sequence[str]
    hosts: Sequence[str] = ()
    bytes: int = 0
    seconds: float = 0


def rules_of(params: Mapping[str, Any]) -> WebRules:
    """Return the rules among a step's parameters, see ``ARGUMENTS``."""
    schemes = params.get("schemes")
    return WebRules(
        tuple(ARGUMENTS["schemes"]["default"] if schemes is None else schemes),
        tuple(params.get("hosts") or ()),
        int(float(params.get("size_gib") or 0) * GIB),
        float(params.get("seconds") or 0),
    )


class Guard:
    """Judges each server that one download leads to."""

    def __init__(self, rules: WebRules, host: str) -> None:
        """Take the rules and the host of the URL that was asked for."""
        self._rules = rules
        self._host = host.lower()

    def check_scheme(self, scheme: str) -> None:
        """Refuse a scheme that is not allowed.

        Raises:
            TmError: it is refused.
        """
        if scheme not in self._rules.schemes:
            allowed = ", ".join(self._rules.schemes) or "none"
            raise TmError("the scheme %s is none of %s (setting urls.schemes)" % (scheme, allowed))

    def check_host(self, host: str) -> None:
        """Refuse what a host's name alone forbids; this is all that is known behind a proxy.

        Args:
            host: name or address, as the URL has it.

        Raises:
            TmError: it is refused.
        """
        address = _address(host)
        if address is not None:
            self.check_address(host, address)
        elif not self._may_be_named(host):
            raise _refused(host, "it is none of the allowed hosts")

    def check_address(self, host: str, address: Any) -> None:
        """Refuse a server by its address.

        Args:
            host: name or address, as the URL has it.
            address: what it stands for, from ``ipaddress``.

        Raises:
            TmError: it is refused.
        """
        if self._is_named(host) or self._is_in_a_network(address):
            return
        if self._rules.hosts and ANY not in self._rules.hosts:
            raise _refused(host, "%s is none of the allowed hosts" % address)
        if address.is_loopback or address.is_link_local or _is_no_server(address):
            raise _refused(host, "%s is an address of the host itself, or no server's" % address)
        if not address.is_global and host.lower() != self._host:
            raise _refused(host, "%s redirects to the private address %s" % (self._host, address))

    def connect(self, place: Tuple[str, int], timeout: float) -> socket.socket:
        """Connect to the first of a host's addresses that answers, if all are allowed.

        Args:
            place: host and port.
            timeout: in seconds.

        Raises:
            TmError: one is not allowed.
            OSError: none answers.
        """
        host, port = place
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        addresses = [address[:2] for *_kind, address in found]
        for address in addresses:
            # All of them, or what is refused depends on who answers.
            self.check_address(host, ipaddress.ip_address(address[0].partition("%")[0]))
        return _connect_to_one(addresses, timeout)

    def _may_be_named(self, host: str) -> bool:
        """Tell whether a name is allowed, or may stand for an address that is."""
        hosts = self._rules.hosts
        has_networks = any(_network(pattern) is not None for pattern in hosts)
        return not hosts or ANY in hosts or has_networks or self._is_named(host)

    def _is_named(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return any(_names(pattern.lower(), name) for pattern in self._rules.hosts)

    def _is_in_a_network(self, address: Any) -> bool:
        networks = [_network(pattern) for pattern in self._rules.hosts]
        return any(network is not None and address in network for network in networks)


class Deadline:
    """Shuts a download's connections when its time is over, whatever it waits for."""

    def __init__(self, seconds: float) -> None:
        """Begin; 0 seconds are no limit."""
        self._sockets = []  # type: List[socket.socket]
        self._end = time.monotonic() + seconds if seconds else None
        self._timer = None  # type: Optional[threading.Timer]
        if seconds:
            self._timer = threading.Timer(seconds, self._shut)
            self._timer.daemon = True
            self._timer.start()

    @property
    def is_over(self) -> bool:
        """Tell whether the time is over."""
        return self._end is not None and time.monotonic() >= self._end

    def watch(self, connection: socket.socket) -> socket.socket:
        """Have a connection shut when the time is over; return it."""
        # TLS takes the descriptor over.
        self._sockets.append(connection.dup())
        if self.is_over:
            self._shut()
        return connection

    def cancel(self) -> None:
        """End the watch."""
        if self._timer:
            self._timer.cancel()
        for connection in self._sockets:
            connection.close()

    def _shut(self) -> None:
        for connection in self._sockets:
            with contextlib.suppress(OSError):  # it is shut already
                connection.shutdown(socket.SHUT_RDWR)


def _connect_to_one(addresses: Sequence[Tuple[str, int]], timeout: float) -> socket.socket:
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection(address, timeout)
    return socket.create_connection(addresses[-1], timeout)


def _refused(host: str, reason: str) -> TmError:
    return TmError("refused the host %s: %s (setting urls.hosts)" % (host, reason))


def _names(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and _address(name) is None
    return pattern != ANY and pattern == name


def _address(text: str) -> Any:
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _network(pattern: str) -> Any:
    try:
        return ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None


def _is_no_server(address: Any) -> bool:
    return bool(address.is_unspecified or address.is_multicast or address.is_reserved)
