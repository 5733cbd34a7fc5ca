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

# Services of clouds for their own machines, which are not link-local: Amazon's, Google's, Oracle's
# (two), Scaleway's, Linode's, Alibaba's and Azure's; Amazon's and Scaleway's as they document
# them, the others as published blocklists have them.
METADATA = (
    *("fd00:ec2::/32", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "192.0.0.192", "fd00:42::42"),
    *("fd00:a9fe:a9fe::1", "100.100.100.200", "168.63.129.16"),
)
# Prefixes of NAT64 (RFC 6052, 2.1; RFC 8215, of which networks take a /96 each): an address of IPv4
# is the end of one.
NAT64 = ("64:ff9b::/96", "64:ff9b:1::/48")

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
        meant = _meant(address)
        hosts = self._rules.hosts
        if self._is_named(host) or _is_in(address, hosts) or _is_in(meant, hosts):
            return
        if hosts and ANY not in hosts:
            raise _refused(host, "%s is none of the allowed hosts" % address)
        if _is_own(meant) or _is_no_server(meant):
            reason = "%s is an address of the host itself, of a cloud's metadata, or no server's"
            raise _refused(host, reason % address)
        if not meant.is_global and host.lower() != self._host:
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


def _is_in(address: Any, patterns: Sequence[str]) -> bool:
    networks = [_network(pattern) for pattern in patterns]
    return any(network is not None and address in network for network in networks)


def _meant(address: Any) -> Any:
    """Return the address of IPv4 that one of IPv6 leads to, else the address itself.

    That is so of IPv4-mapped (RFC 4291, 2.5.5.2), NAT64 and 6to4 (RFC 3056) addresses.
    """
    if address.version == 4:
        return address
    if _is_in(address, NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_own(address: Any) -> bool:
    """Tell whether an address is this machine's: what goes there from here comes from there.

    No packet is sent. To bind(2) to it proves nothing where ``ip_nonlocal_bind`` is set.
    """
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return bool(_address(probe.getsockname()[0]) == address)
    return False


def _is_no_server(address: Any) -> bool:
    is_special = address.is_unspecified or address.is_multicast or address.is_reserved
    return bool(is_special or address.is_link_local or _is_in(address, METADATA))
