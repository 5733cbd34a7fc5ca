"""Which servers URLs lead to: real servers on several addresses of this machine."""

import contextlib
import functools
import gc
import http.server
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import download, webrules
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from worlds import ANYWHERE, ROOT, names

from tests.support.servers import Ftp, serving

MIB = 1 << 20
SECRET = "s3cret-pw"  # noqa: S105 - that of a server in these tests
HERE = ["*", "127.0.0.1"]

# urllib leaves the connections of refused requests to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect them within the test that made them."""
    yield
    gc.collect()


class Web(http.server.BaseHTTPRequestHandler):
    """A server that redirects, drips, and never ends; it notes who asked."""

    asked: list[str]

    def __init__(self, asked: list[str], *arguments: Any) -> None:
        """Note what is asked for in a list."""
        self.asked = asked
        super().__init__(*arguments)

    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""

    def do_GET(self) -> None:
        """Do what the path says."""
        self.asked.append(self.path)
        if self.path.startswith("http://"):  # as a proxy is asked
            self.path = "/" + self.path.split("/", 3)[3]
        kind, _slash, rest = self.path[1:].partition("/")
        if kind in ("to", "to-slowly"):
            self.send_response(302)
            self.send_header("Location", rest.replace("PORT", str(self.server.server_port)))
            if kind == "to":
                self.send_header("Content-Length", "0")
            self.end_headers()
            if kind == "to-slowly":
                self._drip(b"")
            return
        self.send_response(500 if kind == "echo" else 200, self.path.partition("?")[2] or None)
        if kind == "long":
            self.send_header("Content-Length", str(3 * MIB))
        if kind == "slow-head":
            self.flush_headers()
            self._drip(b"X-Slow: ")
        self.end_headers()
        if kind == "endless":
            with_nobody_left = (BrokenPipeError, ConnectionResetError)
            try:
                for _ in range(64):
                    self.wfile.write(bytes(MIB))
            except with_nobody_left:
                return
        elif kind == "slow":
            self._drip(b"")
        else:
            self.wfile.write(b"image")

    def _drip(self, begin: bytes) -> None:
        self.wfile.write(begin)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)


@pytest.fixture
def asked() -> list[str]:
    """Give the list of what the server was asked for."""
    return []


@pytest.fixture
def web(asked: list[str]) -> Iterator[str]:
    """Give the port of a web server on every address of this machine."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), functools.partial(Web, asked))  # noqa: S104
    server.handle_error = lambda *_arguments: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield str(server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def run(url: str, directory: Path, **more: Any) -> Any:
    """Fetch in process, as the action does."""
    words = {"url": url, "destination": str(directory / "disk.0"), "mode": "a+w"}
    words |= {"allowed_dirs": ANYWHERE, "timeout": 10, "format": "raw", "hosts": HERE}
    return download.run({**words, **more}, False)


def refused(url: str, directory: Path, reason: str, **more: Any) -> str:
    """See that nothing is fetched, for a reason; give the message."""
    with pytest.raises(TmError, match=reason) as caught:
        run(url, directory, **more)
    assert [name for name in names(directory) if "disk" in name or ".tm-" in name] == []
    return caught.value.message


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_this_machine_is_no_server_of_images(
    web: str, asked: list[str], tmp_path: Path, host: str
) -> None:
    """By none of its addresses, and by no name for them; nobody is asked."""
    reason = r"refused the host .*the host itself.*setting urls.hosts"
    for scheme in ("http", "ftp"):
        refused(f"{scheme}://{host}:{web}/a.img", tmp_path, reason, hosts=[])
    assert asked == []


NO_SERVERS = ["169.254.169.254", "fe80::1", "224.0.0.1", "240.0.0.1", "::"]
METADATA = ["fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "100.100.100.200", "168.63.129.16"]
EMBEDDED = [
    *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::127.0.0.1", "2002:7f00:1::1"),
    *("::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::"),
    *("64:ff9b::168.63.129.16", "64:ff9b:1:fffe::100.100.100.200", "64:ff9b::0.0.0.0"),
]


@pytest.mark.parametrize("address", [*NO_SERVERS, *METADATA, *EMBEDDED])
def test_what_is_no_server_s_address_is_refused(address: str) -> None:
    """Cloud metadata above all; by the address of IPv4 that is embedded in one of IPv6, too."""
    refusing = webrules.Guard(webrules.WebRules(["http"], ["*"]), "images.example.org")
    for check in (refusing.check_address, lambda _host, found: refusing.check_host(str(found))):
        with pytest.raises(TmError, match=r"no server's \(setting urls.hosts\)"):
            check("images.example.org", ipaddress.ip_address(address))
    named = webrules.Guard(webrules.WebRules(["http"], ["*", address]), "images.example.org")
    named.check_address("images.example.org", ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["64:ff9b::1.1.1.1", "64:ff9b:1::1.1.1.1", "::ffff:1.1.1.1", "2002:101:101::1"]
)
def test_an_embedded_address_of_a_server_is_one(address: str) -> None:
    """Networks without IPv4 reach all servers of it by such addresses; entries hold for both."""
    found = ipaddress.ip_address(address)
    for hosts in ([], ["1.1.1.0/24"], [address]):
        guard = webrules.Guard(webrules.WebRules(["http"], hosts), "elsewhere.example.org")
        guard.check_address("mirror", found)
    guard = webrules.Guard(webrules.WebRules(["http"], ["1.1.2.0/24"]), "elsewhere.example.org")
    with pytest.raises(TmError, match="none of the allowed hosts"):
        guard.check_address("mirror", found)


OWN = """
import ipaddress
from ansible_collections.one.tm.plugins.module_utils import webrules
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
for address in ("10.9.9.9", "10.9.9.8", "fd00:9::9", "fd00:9::8", "::ffff:10.9.9.9", "192.0.2.1"):
    try:
        guard = webrules.Guard(webrules.WebRules(["http"]), "images")
        guard.check_address("images", ipaddress.ip_address(address))
        print(address)
    except TmError as error:
        assert "an address of the host itself" in error.message
"""


@pytest.mark.root
def test_every_address_of_this_machine_is_its_own(tmp_path: Path) -> None:
    """Whatever interface has it; its neighbours may be servers, and so may what it cannot reach."""
    lines = ["ip link set lo up", "ip link add v0 type veth peer name v1"]
    lines += ["ip link set v0 up", "ip link set v1 up"]
    lines += ["ip address add 10.9.9.9/24 dev v0", "ip address add fd00:9::9/64 dev v0 nodad"]
    if subprocess.run(["unshare", "-n", "sh", "-ec", "\n".join(lines)], check=False).returncode:
        pytest.skip("network namespaces with interfaces are not to be had here")
    (tmp_path / "own.py").write_text(OWN)
    lines.append(f"exec {sys.executable} {tmp_path}/own.py")
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", "\n".join(lines)],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["10.9.9.8", "fd00:9::8", "192.0.2.1"], done.stderr


def test_a_server_on_another_address_of_this_machine_is_not_asked(
    web: str, asked: list[str], tmp_path: Path
) -> None:
    """It is as near as loopback, and is named in the same way."""
    own = subprocess.run(["hostname", "-I"], check=True, capture_output=True, text=True).stdout
    addresses = [address for address in own.split() if "." in address]
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    url = f"http://{addresses[0]}:{web}/a"
    refused(url, tmp_path, "an address of the host itself", hosts=[])
    assert asked == []
    run(url, tmp_path, hosts=["*", addresses[0]])


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "192.168.1.1", "172.16.0.1", "fd00::1", "100.64.0.1"),
        *("64:ff9b::a00:1", "64:ff9b:1::192.168.1.1", "::ffff:172.16.0.1", "2002:a00:1::1"),
    ],
)
def test_a_private_network_may_be_named_and_not_redirected_to(address: str) -> None:
    """Image servers live there; what a server elsewhere says of them is another thing."""
    private = ipaddress.ip_address(address)
    webrules.Guard(webrules.WebRules(["http"]), "images").check_address("images", private)
    guard = webrules.Guard(webrules.WebRules(["http"]), "elsewhere.example.org")
    with pytest.raises(TmError, match="redirects to the private address"):
        guard.check_address("images", private)
    for hosts in (
        ["*", "images"],
        ["*", f"{address}"],
        ["*", "10.0.0.0/8", "172.0.0.0/7", "fd00::/8", "192.168.0.0/16", "100.64.0.0/10"],
    ):
        guard = webrules.Guard(webrules.WebRules(["http"], hosts), "elsewhere.example.org")
        guard.check_address("images", private)


def test_a_public_address_may_be_redirected_to() -> None:
    """As mirrors do."""
    guard = webrules.Guard(webrules.WebRules(["http"]), "elsewhere.example.org")
    guard.check_address("mirror", ipaddress.ip_address("1.1.1.1"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://127.0.0.2:PORT/a", "refused the host 127.0.0.2"),
        ("http://10.0.0.1:PORT/a", "127.0.0.1 redirects to the private address 10.0.0.1"),
        ("http://169.254.169.254/latest", "refused the host 169.254.169.254"),
        ("ftp://127.0.0.1/a", "redirects from http to ftp"),
        ("file:///etc/passwd", "Redirection"),
        ("gopher://127.0.0.1:PORT/a", "Redirection"),
        ("/to/http://127.0.0.2:PORT/a", "refused the host 127.0.0.2"),
    ],
)
def test_no_redirect_leads_where_no_url_may(
    web: str, asked: list[str], tmp_path: Path, target: str, reason: str
) -> None:
    """Each hop is judged, by the address that would be connected to."""
    refused(f"http://127.0.0.1:{web}/to/{target}", tmp_path, reason)
    assert "/a" not in asked


def test_a_name_is_judged_by_its_address(web: str, asked: list[str], tmp_path: Path) -> None:
    """That of a URL, and that of a redirect."""
    named = {"hosts": ["*", "127.0.0.2"]}
    url = f"http://127.0.0.2:{web}/to/http://localhost:PORT/a"
    refused(url, tmp_path, "refused the host localhost", **named)
    refused(f"http://localhost:{web}/a", tmp_path, "refused the host localhost", **named)
    assert "/a" not in asked


@pytest.mark.parametrize(
    "case",
    [
        ("http://10.0.0.1/b", "10.0.0.1 is none of the allowed hosts"),
        ("http://other.example.org/b", "it is none of the allowed hosts"),
        ("http://127.0.0.1:PORT/b", "127.0.0.1 is none of the allowed hosts"),
    ],
)
def test_a_proxy_is_not_asked_for_what_is_not_allowed(
    web: str,
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, str],
) -> None:
    """It is the site's own, and connects by itself: names are judged before."""
    target, reason = case
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{web}")
    named = {"hosts": ["images.example.org"]}
    run("http://images.example.org/a", tmp_path, **named)
    assert asked == ["http://images.example.org/a"]
    (tmp_path / "disk.0").unlink()
    refused(f"http://images.example.org/to/{target}", tmp_path, reason, **named)
    refused(target.replace("PORT", web), tmp_path, reason, **named)
    assert len(asked) == 2


def test_a_redirect_to_the_same_host_or_one_that_is_named_is_followed(
    web: str, tmp_path: Path
) -> None:
    """By name or network."""
    for target, more in (
        ("/a", {}),
        ("http://127.0.0.2:PORT/a", {"hosts": [*HERE, "127.0.0.2"]}),
        ("http://127.0.0.2:PORT/b", {"hosts": ["127.0.0.0/30"]}),
    ):
        assert run(f"http://127.0.0.1:{web}/to/{target}", tmp_path, **more)["tm_log"]
        assert (tmp_path / "disk.0").read_bytes() == b"image"


@pytest.mark.parametrize(
    ("hosts", "allowed"),
    [
        (["127.0.0.1"], True),
        (["127.0.0.0/8"], True),
        (["images.example.org", "127.0.0.1"], True),
        (["*"], False),
        (["images.example.org"], False),
        (["*.0.0.1"], False),
        (["127.0.0.2"], False),
        (["10.0.0.0/8"], False),
    ],
)
def test_a_list_of_hosts_is_all_there_are(
    web: str, asked: list[str], tmp_path: Path, hosts: list[str], allowed: bool
) -> None:
    """Names, addresses and networks; ``*`` is any, but not this machine."""
    url = f"http://127.0.0.1:{web}/a"
    if allowed:
        run(url, tmp_path, hosts=hosts)
    else:
        refused(url, tmp_path, "setting urls.hosts", hosts=hosts)
        assert asked == []


def test_domains_and_names_are_whole_ones() -> None:
    """No name of another domain passes for one in it."""
    guard = webrules.Guard(webrules.WebRules(["http"], ["*.example.org", "Images"]), "x")
    for name in ("a.example.org", "A.B.EXAMPLE.ORG", "images", "images."):
        guard.check_host(name)
    for name in ("example.org", "badexample.org", "example.org.evil", "images.evil", "im"):
        with pytest.raises(TmError, match="none of the allowed hosts"):
            guard.check_host(name)


@pytest.mark.parametrize("scheme", ["http", "ftp", "HTTP"])
def test_schemes_are_those_that_a_site_names(
    web: str, asked: list[str], tmp_path: Path, scheme: str
) -> None:
    """Nothing is asked by another."""
    url = f"{scheme}://127.0.0.1:{web}/a"
    refused(url, tmp_path, r"is none of https \(setting urls.schemes\)", schemes=["https"])
    assert asked == []


@pytest.mark.parametrize("kind", ["long", "endless"])
def test_an_image_is_not_larger_than_the_limit(web: str, tmp_path: Path, kind: str) -> None:
    """Whether the server has said so before or just goes on."""
    limit = 2 * MIB / webrules.GIB
    reason = r"is more than 2.0 MiB \(setting urls.size_gib\)"
    refused(f"http://127.0.0.1:{web}/{kind}/a", tmp_path, reason, size_gib=limit)


@pytest.mark.parametrize("kind", ["slow", "slow-head"])
def test_a_download_that_drips_is_ended(web: str, tmp_path: Path, kind: str) -> None:
    """Its silence is never long enough, its time is; in the head of the answer too."""
    began = time.monotonic()
    reason = r"it took more than 0.5 s \(setting urls.seconds\)"
    refused(f"http://127.0.0.1:{web}/{kind}/a", tmp_path, reason, seconds=0.5)
    assert time.monotonic() - began < 5


def test_what_comes_with_a_redirect_is_not_read(web: str, tmp_path: Path) -> None:
    """It may have no end, and nobody wants it."""
    began = time.monotonic()
    run(f"http://127.0.0.1:{web}/to-slowly//a", tmp_path, seconds=20)
    assert time.monotonic() - began < 5
    assert (tmp_path / "disk.0").read_bytes() == b"image"


def test_an_ftp_server_that_never_stops_talking_is_given_up(tmp_path: Path) -> None:
    """An answer of many lines is kept whole until its last one."""

    class Talker(Ftp):
        """A server whose welcome has no end."""

        def say(self, text: str) -> None:
            """Say it without a last line."""
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(f"{text[:3]}-{text}\r\n".encode() * 100)

    with serving(Talker) as address:
        refused(f"ftp://{address}/a.img", tmp_path, "says more than 200 lines", seconds=10)


def test_the_time_of_tls_counts_too(tmp_path: Path) -> None:
    """A server that never shakes hands is given up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/a"
        refused(url, tmp_path, "it took more than 0.5 s", seconds=0.5)


def test_an_ftp_server_sends_its_data_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that it names for them is not connected to."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.img").write_bytes(b"image")

    class Liar(Ftp):
        """A server that names another address."""

        root = tmp_path / "site"

        def say(self, text: str) -> None:
            """Name an address that leads to somebody else."""
            super().say(text.replace("227 here (127,0,0,1,", "227 here (127,0,0,9,"))

    # Older versions of Python's ftplib believe it; so may a site's own.
    monkeypatch.setattr("ftplib.FTP.trust_server_pasv_ipv4_address", True)
    with serving(Liar) as address:
        run(f"ftp://{address}/a.img", tmp_path)
    assert (tmp_path / "disk.0").read_bytes() == b"image"


def test_a_drip_by_ftp_is_ended(tmp_path: Path) -> None:
    """On the connection of commands as on that of data."""

    class Slow(Ftp):
        """A server that takes its time."""

        def say(self, text: str) -> None:
            """Say a letter at a time."""
            for letter in text + "\r\n":
                try:
                    self.wfile.write(letter.encode())
                except OSError:
                    return
                time.sleep(0.3)

    with serving(Slow) as address:
        refused(f"ftp://{address}/a.img", tmp_path, "it took more than 0.5 s", seconds=0.5)


@pytest.mark.parametrize(
    "part",
    ["missing\n", "missing", "echo", "echo/a:b@c", "to/http://10.0.0.1/", "a b", "to/file:///x"],
)
def test_user_and_password_stand_in_no_reason(web: str, tmp_path: Path, part: str) -> None:
    """Neither as they are nor decoded."""
    for user in ("somebody", "some%62ody"):
        url = f"http://{user}:{SECRET}@127.0.0.1:{web}/{part}?token={SECRET}"
        message = refused(url, tmp_path, "http://127.0.0.1", size_gib=1e-9)
        assert not [word for word in ("somebody", "some%62ody", SECRET) if word in message]


@pytest.mark.parametrize("end", ["/", "?", "#", "[s3cret]"])
@pytest.mark.parametrize("kind", ["http", "ftp"])
def test_a_password_that_is_not_escaped_stands_in_no_reason(
    tmp_path: Path, kind: str, end: str
) -> None:
    """Half of it is taken for the server's port; the reason tells how to write it."""
    url = f"{kind}://me:s3cret{end}s3cret@127.0.0.1/a"
    message = refused(url, tmp_path, "write %2F, %3F, %23")
    assert "127.0.0.1/a failed" in message
    assert "s3cret" not in message


def test_no_user_goes_along_with_a_redirect(web: str, tmp_path: Path) -> None:
    """A login is for the host that the URL names."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.2", 0)) as other:

        def listen() -> None:
            connection, _address = other.accept()
            seen.append(connection.recv(65536))
            connection.sendall(b'HTTP/1.0 401 no\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n')
            connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        target = f"http://127.0.0.2:{other.getsockname()[1]}/a"
        url = f"http://me:{SECRET}@127.0.0.1:{web}/to/{target}"
        refused(url, tmp_path, "401", hosts=["127.0.0.0/8"])
        thread.join(10)
    assert b"GET /a" in seen[0]
    assert b"uthorization" not in seen[0]


def test_https_does_not_end_in_http(web: str, tmp_path: Path, monkeypatch: Any) -> None:
    """What was to be verified would come from anybody."""
    pem, public = tmp_path / "server.pem", tmp_path / "public.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(pem), "-out", str(public)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + public.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    handler = functools.partial(Web, [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        secure = f"https://127.0.0.1:{server.server_port}"
        try:
            refused(f"{secure}/to/http://127.0.0.1:{web}/a", tmp_path, "from https to http")
            run(f"{secure}/to/{secure}/a", tmp_path)
        finally:
            server.shutdown()
            thread.join()
