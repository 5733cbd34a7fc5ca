"""Sources with URLs: real servers on this machine, whole files or a reason."""

import base64
import email.utils
import functools
import gc
import hashlib
import http.server
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import download, meter
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from worlds import ANYWHERE, names

from tests.support.servers import Ftp, serving

MIB = 1 << 20
# Servers on this very machine are refused unless a site names them.
HERE = ["*", "127.0.0.1", "localhost"]
SECRET = "s3cret-pw"  # noqa: S105 - that of a server in these tests


# urllib leaves the connections of refused requests to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect them within the test that made them."""
    yield
    gc.collect()


class Web(http.server.SimpleHTTPRequestHandler):
    """A server with a locked corner, one that hangs up early, and one without facts."""

    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""

    def do_GET(self) -> None:
        """Serve a file in the way that its directory's name asks for."""
        expected = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
        if self.path.startswith("/locked/") and self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="here"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/stall/"):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.flush()
            time.sleep(3)
        elif self.path.startswith("/short/"):
            self.send_response(200)
            self.send_header("Content-Length", str(2 * MIB))
            self.end_headers()
            self.wfile.write(b"x" * MIB)
        elif self.path.startswith("/bare/"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"y" * MIB)
        else:
            super().do_GET()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give what the servers serve: an image of 9 MiB of which 8 are zeros."""
    directory = tmp_path / "site"
    (directory / "locked").mkdir(parents=True)
    image = directory / "base.img"
    image.write_bytes(bytes(8 * MIB) + os.urandom(MIB))
    os.utime(image, (1_700_000_000, 1_700_000_000))
    (directory / "locked" / "a.img").write_text("inside")
    return directory


@pytest.fixture
def web(site: Path) -> Iterator[str]:
    """Give the address of a web server."""
    with serving(functools.partial(Web, directory=str(site))) as address:
        yield address


@pytest.fixture
def ftp(site: Path) -> Iterator[str]:
    """Give the address of an ftp server."""
    with serving(type("Here", (Ftp,), {"root": site})) as address:
        yield address


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Give a new certificate for 127.0.0.1 that it has signed itself, with its key in one file."""
    path = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(path), "-out", str(tmp_path / "public.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "public.pem").read_bytes())
    return path


@pytest.fixture
def secure(site: Path, certificate: Path) -> Iterator[str]:
    """Give the address of a web server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    handler = functools.partial(Web, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_arguments: None  # a client that hangs up is no news
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def run(url: str, destination: Path, check: bool = False, timeout: int = 20) -> dict:
    """Fetch in process, as the module does."""
    params = {"url": url, "destination": str(destination), "timeout": timeout, "mode": "a+w"}
    params |= {"allowed_dirs": ANYWHERE, "hosts": HERE}
    return download.run(params, check)


def test_an_image_is_fetched_whole_sparse_and_once(web, site, tmp_path):
    """It has the server's bytes and time; zeros take no room; the repeat changes nothing."""
    disk = tmp_path / "7" / "disk.0"
    result = run(f"http://{web}/base.img", disk)
    [sentence] = result["tm_log"]
    assert sentence.startswith(f"downloaded http://{web}/base.img to disk.0: 9.0 MiB moved in ")
    assert result["copy_seconds"] > 0
    assert disk.read_bytes() == (site / "base.img").read_bytes()
    assert disk.stat().st_blocks * 512 < 2 * MIB
    assert (disk.stat().st_mtime, disk.stat().st_mode & 0o222) == (1_700_000_000, 0o222)
    inode = disk.stat().st_ino
    assert run(f"http://{web}/base.img", disk)["changed"] is False
    assert (disk.stat().st_ino, names(disk.parent)) == (inode, ["disk.0"])


def test_https_verifies_the_server(secure, site, certificate, tmp_path, monkeypatch):
    """A certificate that nobody vouches for is refused; one of a known authority is taken."""
    disk = tmp_path / "7" / "disk.0"
    with pytest.raises(TmError, match=r"(?i)certificate"):
        run(f"https://{secure}/base.img", disk)
    assert not disk.exists()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert run(f"https://{secure}/base.img", disk)["changed"] is True
    assert disk.read_bytes() == (site / "base.img").read_bytes()


def test_without_size_and_time_the_contents_decide(web, tmp_path):
    """The same bytes are no change; others are."""
    disk = tmp_path / "disk.0"
    assert run(f"http://{web}/bare/a", disk)["changed"] is True
    assert run(f"http://{web}/bare/a", disk)["changed"] is False
    disk.write_bytes(b"z" * MIB)
    assert run(f"http://{web}/bare/a", disk)["changed"] is True


def test_ftp_works_and_repeats(ftp, site, tmp_path):
    """The guide's sample of one more kind of URL."""
    disk = tmp_path / "disk.0"
    assert run(f"ftp://{ftp}/base.img", disk)["changed"] is True
    assert disk.read_bytes() == (site / "base.img").read_bytes()
    assert run(f"ftp://{ftp}/base.img", disk)["changed"] is False


def test_an_ftp_server_that_knows_size_and_time_is_not_asked_twice(ftp, site, tmp_path):
    """The image has its time, and the repeat fetches nothing."""
    (site / "base.img").rename(site / "known.img")
    disk = tmp_path / "disk.0"
    run(f"ftp://{ftp}/known.img", disk)
    assert disk.stat().st_mtime == 1_700_000_000
    (site / "known.img").write_bytes(b"x" * disk.stat().st_size)
    os.utime(site / "known.img", (1_700_000_000, 1_700_000_000))
    assert run(f"ftp://{ftp}/known.img", disk)["changed"] is False


@pytest.mark.parametrize("path", ["locked", "locked/", "", "locked;type=d"])
def test_a_directory_of_an_ftp_server_is_no_image(ftp, tmp_path, path):
    """Its listing does not become one."""
    with pytest.raises(TmError, match=r"550|is a directory"):
        run(f"ftp://{ftp}/{path}", tmp_path / "disk.0")
    assert "disk.0" not in names(tmp_path)


def test_an_ftp_transfer_that_the_server_breaks_off_is_a_failure(ftp, site, tmp_path):
    """Though nobody said how long the image is."""
    (site / "base.img").rename(site / "cut.img")
    with pytest.raises(TmError, match="426 aborted"):
        run(f"ftp://{ftp}/cut.img", tmp_path / "disk.0")
    assert "disk.0" not in names(tmp_path)


def test_a_file_that_an_ftp_server_does_not_have_is_told(ftp, tmp_path):
    """In the server's own words."""
    with pytest.raises(TmError, match="550"):
        run(f"ftp://{ftp}/missing", tmp_path / "disk.1")


def test_a_download_that_ends_early_is_a_failure_and_leaves_nothing(web, tmp_path):
    """The reason has both numbers."""
    with pytest.raises(TmError, match="1048576 bytes came instead of 2097152"):
        run(f"http://{web}/short/a", tmp_path / "7" / "disk.0")
    assert names(tmp_path / "7") == []


def test_a_server_that_falls_silent_is_given_up(web, tmp_path):
    """After the time that is set."""
    with pytest.raises(TmError, match="no data for 1 s"):
        run(f"http://{web}/stall/a", tmp_path / "disk.0", timeout=1)


@pytest.mark.parametrize(
    ("path", "reason"), [("missing", "404"), ("locked/a.img", "401"), ("a b", "InvalidURL")]
)
def test_what_a_server_refuses_is_told(web, tmp_path, path, reason):
    """In the server's own words."""
    with pytest.raises(TmError, match=reason):
        run(f"http://{web}/{path}", tmp_path / "disk.0")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a", "http://nowhere.invalid/a", "http://[/a"])
def test_a_server_that_is_not_there_is_named(tmp_path, url):
    """Refused, unknown, or no server at all."""
    with pytest.raises(TmError, match="downloading http://"):
        run(url, tmp_path / "disk.0")


def test_user_and_password_open_a_door_and_show_nowhere(web, tmp_path):
    """Neither in the log of a success nor in the reason of a failure."""
    disk = tmp_path / "disk.0"
    result = run(f"http://me:{SECRET}@{web}/locked/a.img?token={SECRET}", disk)
    assert disk.read_text() == "inside"
    [sentence] = result["tm_log"]
    assert sentence.startswith(f"downloaded http://{web}/locked/a.img to disk.0: 6 bytes moved in")
    with pytest.raises(TmError) as caught:
        run(f"http://you:{SECRET}@{web}/locked/a.img?token={SECRET}", tmp_path / "x")
    assert SECRET not in caught.value.message


def test_check_mode_asks_and_makes_nothing(web, tmp_path):
    """It fails where the run would."""
    result = run(f"http://{web}/base.img", tmp_path / "7" / "disk.0", check=True)
    assert result["tm_log"] == [f"would download http://{web}/base.img to disk.0"]
    with pytest.raises(TmError, match="404"):
        run(f"http://{web}/missing", tmp_path / "7" / "disk.0", check=True)
    assert not (tmp_path / "7").exists()


def test_a_time_is_read_as_the_standard_writes_it():
    """RFC 9110's example; nonsense is no time."""
    offer = download.read_offer(
        {"Content-Length": "7", "Last-Modified": "Tue, 15 Nov 1994 12:45:26 GMT"}
    )
    assert offer == (7, email.utils.mktime_tz((1994, 11, 15, 12, 45, 26, 0, 0, 0, 0)))
    assert download.read_offer({"Content-Length": "x", "Last-Modified": "x"}) == (None, None)


@pytest.mark.parametrize(
    "name",
    [
        *("nfs/ln", "ssh/clone"),
        *(pytest.param(n, marks=pytest.mark.long) for n in ("nfs/clone", "shared/ln", "ssh/ln")),
    ],
)
def test_playbooks_fetch_urls(play, cloud, web, site, name):
    """Twice, and in check mode; the password stays hidden even in verbose output."""
    disk = cloud.vms / "7" / "images" / "disk.0"
    url = f"http://me:{SECRET}@{web}/base.img"
    variables = cloud.facts(tm_source=url, tm_destination=f"node1:{disk}", tm_url_hosts=HERE)
    options = ["-i", str(cloud.inventory), "-vvv"]
    assert play(name, variables, "--check", *options).succeeded().changed == 1
    assert not disk.exists()
    outputs = [play(name, variables, *options).succeeded() for _run in (1, 2)]
    assert [output.changed for output in outputs] == [1, 0]
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in (disk, site / "base.img")}
    assert len(digests) == 1
    assert f"downloaded http://{web}/base.img to disk.0: 9.0 MiB moved" in outputs[0].output
    assert not [output for output in outputs if SECRET in output.output]


SITE_TASKS = """
- name: Bring the image from the vault
  ansible.builtin.command:
    argv: [cp, "{{ tm_source | one.tm.arg_path }}", "{{ tm_download_path }}"]
    creates: "{{ tm_download_path }}"
"""


def test_a_site_adds_a_scheme_with_one_task_file(play, cloud, image):
    """The role publishes what the file fetched; the repeat changes no image."""
    schemes = cloud.root / "schemes"
    schemes.mkdir()
    (schemes / "vault.yml").write_text(SITE_TASKS)
    disk = cloud.vms / "7" / "images" / "disk.0"
    variables = cloud.facts(
        tm_source=f"vault://server{image}",
        tm_destination=f"node1:{disk}",
        tm_schemes_dir=str(schemes),
    )
    options = ["-i", str(cloud.inventory)]
    checked = play("ssh/clone", variables, "--check", *options).succeeded()
    assert "would fetch" in checked.output
    assert not disk.exists()
    done = play("ssh/clone", variables, *options).succeeded()
    assert "downloaded disk.0, 3.0 MiB" in done.output
    assert disk.read_bytes() == image.read_bytes()
    inode = disk.stat().st_ino
    assert "already complete" in play("ssh/clone", variables, *options).succeeded().output
    assert (disk.stat().st_ino, names(disk.parent)) == (inode, ["disk.0"])


def test_a_site_s_tasks_that_fail_leave_nothing(play, cloud):
    """Neither an image nor a part of one."""
    schemes = cloud.root / "schemes"
    schemes.mkdir()
    (schemes / "vault.yml").write_text(
        "- name: Fetch half\n"
        "  ansible.builtin.command: {argv: [sh, -c, 'echo half > \"$1\"; exit 3', sh, "
        '"{{ tm_download_path }}"]}\n'
    )
    variables = cloud.facts(
        tm_source="vault://server/a",
        tm_destination=f"node1:{cloud.vms}/disk.0",
        tm_schemes_dir=str(schemes),
    )
    assert play("shared/clone", variables, "-i", str(cloud.inventory)).status == 2
    assert names(cloud.vms) == []


def test_a_netrc_opens_a_door(web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the URL names no user, that of ~/.netrc is offered, and to no other host."""
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    destination = tmp_path / "disk.0"
    params = {"destination": str(destination), "timeout": 5, "format": "raw"}
    params |= {"allowed_dirs": ANYWHERE, "hosts": HERE}
    download.run({"url": f"http://{web}/locked/a.img", **params}, False)
    assert destination.read_text() == "inside"
    with pytest.raises(TmError, match="the server says 401"):
        download.run(
            {"url": f"http://{web.replace('127.0.0.1', 'localhost')}/locked/a.img", **params}, False
        )


def test_a_download_tells_its_progress(site: Path, web: str, tmp_path: Path) -> None:
    """Whoever listens hears of size, position and bytes while a limited download runs."""
    told: list[dict[str, int]] = []
    params = {"url": f"http://{web}/base.img", "destination": str(tmp_path / "disk.0")}
    more = {"timeout": 5, "format": "raw", "bandwidth_mib": 6}
    more |= {"allowed_dirs": ANYWHERE, "hosts": HERE}
    with meter.heard_by(lambda message: told.append(message["progress"])):
        download.run({**params, **more}, False)
    assert {message["size"] for message in told} == {9 * MIB}
    assert sorted(message["done"] for message in told) == [message["done"] for message in told]
    assert len({message["done"] for message in told}) >= 2
