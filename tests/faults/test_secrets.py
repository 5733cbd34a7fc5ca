"""Secrets that a site gives to the driver, to Ansible and to programs: no one else sees them."""

import base64
import contextlib
import http.server
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.support.hosts import (
    SshHost,
    close_masters,
    make_key,
    missing_for_hosts,
    write_inventory,
)
from tests.support.oned import Oned
from tests.support.processes import memory
from tests.support.servers import serving
from tests.support.site import Site

pytestmark = pytest.mark.xdist_group("secrets")

TOKEN = os.urandom(6).hex()
# What is planted where; each is found by its own end.
SECRETS = {
    name: f"s3cr3t{TOKEN}{name}"
    for name in ("env", "rc", "url", "query", "vault", "vaultkey", "become", "extra", "inventory")
}
# What the site itself puts into the environment of runs; only the same user can read that.
GIVEN_TO_RUNS = "rc"

PLAYBOOK = """\
- name: Use secrets
  hosts: "{{ tm_host }}"
  gather_facts: false
  tasks:
    - name: Use them well
      ansible.builtin.command:
        argv: [/bin/sh, -c, cat >/dev/null]
        stdin: "{{ secrets }}"
      changed_when: true
    - name: Fail with them
      ansible.builtin.command:
        argv: [/bin/sh, -c, cat >/dev/null; exit 3]
        stdin: "{{ secrets }}"
      changed_when: true
      when: kind == 'args'
    - name: Fail with them, and hide them
      ansible.builtin.fail:
        msg: "{{ secrets }}"
      no_log: true
      when: kind == 'hidden'
    - name: Send them to nobody
      ansible.builtin.uri:
        url: http://127.0.0.1:9/
        body: "{{ secrets }}"
        url_username: me
        url_password: "{{ of_vault }}"
        timeout: 2
      when: kind == 'uri'
    - name: Fail in a loop over them
      ansible.builtin.fail:
        msg: no
      loop: "{{ secrets.split() }}"
      no_log: true
      when: kind == 'loop'
    - name: Take too long with them
      ansible.builtin.command:
        argv: [/bin/sh, -c, cat >/dev/null; sleep 60]
        stdin: "{{ secrets }}"
      changed_when: true
      when: kind == 'long'
  vars:
    kind: "{{ tm_source | basename }}"
    secrets: "{{ of_vault }} {{ of_extra }} {{ of_inventory }} {{ lookup('env', 'OF_RC') }}"
"""


@dataclass(slots=True)
class Watch:
    """Looks at what all processes show of themselves: command line and environment."""

    allowed: set[int]
    found: set[str] = field(default_factory=set)
    looks: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look as often as possible while the block runs."""
        thread = threading.Thread(target=self._look_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _look_on(self) -> None:
        while not self.looks or not self._ended.wait(0.03):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit() and not self._is_allowed(entry.name):
                    self._look_at(entry.name)
            self.looks += 1

    def _is_allowed(self, pid: str) -> bool:
        """Tell whether a process may show a secret; so may forks that are no program yet."""
        with contextlib.suppress(OSError):
            return _words(pid) in {_words(str(allowed)) for allowed in self.allowed}
        return False

    def _look_at(self, pid: str) -> None:
        for kind in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/{kind}").read_bytes()
                for name in _secrets_in(text):
                    if (name, kind) != (GIVEN_TO_RUNS, "environ"):
                        self.found.add(f"{name} in {kind} of {pid}: {text[:300]!r}")


def _words(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _secrets_in(data: bytes) -> list[str]:
    """Give the names of the secrets that some data hold, as they are or in base64."""
    if TOKEN.encode() not in data and _coded(TOKEN) not in data:
        return []
    return [name for name, secret in SECRETS.items() if secret.encode() in data]


def _coded(text: str) -> bytes:
    return base64.b64encode(text.encode()).rstrip(b"=")


@dataclass(frozen=True, slots=True)
class Place:
    """A site that has a secret of every kind.

    Attributes:
        site: the installation.
        oned: its driver.
        base: directory of all.
        planted: files that hold a secret because the test put it there.
        key: a piece of the ssh key.
        host: that it copies to.
    """

    site: Site
    oned: Oned
    base: Path
    planted: frozenset[Path]
    key: bytes
    host: SshHost


class Images(http.server.BaseHTTPRequestHandler):
    """Gives an image to those who know the password."""

    def do_GET(self) -> None:
        """Answer."""
        known = base64.b64encode(f"me:{SECRETS['url']}".encode()).decode()
        is_known = self.headers.get("Authorization") == f"Basic {known}"
        self.send_response((200 if "a.img" in self.path else 404) if is_known else 401)
        self.send_header("WWW-Authenticate", "Basic realm=images")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(1000))

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Give the address of a server of images."""
    with serving(Images) as address:
        yield address


@pytest.fixture(scope="module", params=["warm", pytest.param("cold", marks=pytest.mark.long)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give a site with secrets, its driver's own log on, whose runs start warm or cold."""
    if reason := missing_for_hosts():
        pytest.skip(reason)
    base = Path(tempfile.mkdtemp(prefix="tms"))
    make_key(base / "key")
    host = SshHost("node1", "127.0.0.2", base / "node1", base / "one", base / "key")
    host.start()
    warm = request.param == "warm"
    try:
        site = _install(base, host, warm)
        with site.start(OF_ENV=SECRETS["env"]) as oned:
            if warm:
                oned.wait_warm()
            planted = frozenset(path for path in base.rglob("*") if path.is_file())
            key = (base / "key").read_bytes().splitlines()[2]
            yield Place(site, oned, base, planted, key, host)
    finally:
        close_masters(base / "cp")
        host.stop()
        shutil.rmtree(base)


def _install(base: Path, host: SshHost, warm: bool) -> Site:
    inventory = write_inventory(base / "hosts.ini", [host], base / "cp")
    text = inventory.read_text() + "gone ansible_host=127.0.0.1 ansible_port=9\n"
    become = f"ansible_become=true ansible_become_password={SECRETS['become']}"
    line = next(line for line in text.splitlines() if line.startswith("node1 "))
    text += line.replace("node1 ", f"sudoer {become} ", 1) + "\n"
    text += f"[all:vars]\nof_inventory={SECRETS['inventory']}\n"
    inventory.write_text(text)
    (base / "vault.key").write_text(SECRETS["vaultkey"])
    (base / "group_vars").mkdir()
    vault = VaultLib([("default", VaultSecret(SECRETS["vaultkey"].encode()))])
    (base / "group_vars" / "all.yml").write_bytes(vault.encrypt(f"of_vault: {SECRETS['vault']}\n"))
    (base / "extra.yml").write_text(f"of_extra: {SECRETS['extra']}\n")
    site = Site(base, "ssh").install(
        f"engine: {{warm: {str(warm).lower()}}}\nlimits: {{action_seconds: 20}}\n"
        "urls: {hosts: [127.0.0.1]}\n"
        f"ansible:\n  vault_password_file: {base}/vault.key\n  private_key_file: {base}/key\n"
        f"  extra_vars_files: [{base}/extra.yml]\n",
        [inventory],
    )
    (site.etc / "tm_ansible_sshrc").write_text(f"ONE_MAD_DEBUG=1\nexport OF_RC={SECRETS['rc']}\n")
    (site.etc / "use.yml").write_text(PLAYBOOK)
    map_ = site.etc / "tm_ansible_ssh.conf"
    lines = [line for line in map_.read_text().splitlines() if not line.startswith("LN")]
    map_.write_text("\n".join([*lines, "LN = use.yml", ""]))
    (site.images / "a.img").write_bytes(bytes(1000))
    return site


def _check(place: Place, watch: Watch) -> None:
    """Check that no secret is anywhere but where the test put it."""
    assert watch.looks
    assert not watch.found
    said = "\n".join(place.oned.lines).encode()
    assert not _secrets_in(said), said
    assert place.key not in said
    for path in _files([place.base, *Path(tempfile.gettempdir()).glob("tm_ansible.*")]):
        if path in place.planted or path.name.startswith("transfer.") or not path.is_file():
            continue
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            assert not _secrets_in(data), path
            assert place.key not in data, path
    assert (place.site.location / "var" / "tm_ansible_ssh.log").stat().st_size > 0


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    """Give the files below directories; what goes meanwhile is somebody else's."""
    for root in roots:
        for directory, _directories, names in os.walk(root):
            yield from (Path(directory) / name for name in names)


def _script(place: Place, kind: str, server: str = "", vm_id: int = 7) -> str:
    disk = f"node1:{place.site.vm_dir(vm_id)}/images/disk.0"
    url = f"http://me:{SECRETS['url']}@{server}"
    return {
        "success": f"CLONE fe:{place.site.images}/a.img {disk}\n",
        "url": f"CLONE {url}/a.img?sig={SECRETS['query']} {disk}\n",
        "url that is not there": f"CLONE {url}/b.img?sig={SECRETS['query']} {disk}\n",
        "url of nobody": f"CLONE http://me:{SECRETS['url']}@127.0.0.1:9/b.img {disk}\n",
        "url of no kind": f"CLONE odd://me:{SECRETS['url']}@h/b.img {disk}\n",
        "url to nowhere": f"CLONE {url}/a.img?sig={SECRETS['query']} bad host:/x\n",
        "unreachable": f"MKSWAP 1 gone:{place.site.vm_dir(7)}/disk.1\n",
        "become": f"MKSWAP 1 sudoer:{place.site.vm_dir(7)}/disk.1\n",
        "become, refused": f"CLONE fe:{place.site.images}/a.img sudoer:{place.site.vm_dir(7)}/d\n",
    }.get(kind, f"LN fe:/x/{kind} {disk}\n")


SUCCEEDS = ("success", "url", "become", "none")
KINDS = (
    *("success", "url", "url that is not there", "url of nobody", "url of no kind"),
    *("url to nowhere", "unreachable", "become", "become, refused"),
    *("none", "args", "hidden", "uri", "loop"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_gets_out(place: Place, server: str, kind: str) -> None:
    """No log line, reply, process list, artifact or log of the driver has one, whatever happens."""
    watch = Watch({os.getpid(), place.oned.process.pid})
    with watch.watching():
        done = place.oned.transfer(7, _script(place, kind, server))
    assert done.ok == (kind in SUCCEEDS), done.reason
    _check(place, watch)


def test_no_secret_gets_out_of_a_cancelled_run(place: Place) -> None:
    """A cancel leaves nothing of the run's files, which hold what the run needs."""
    watch = Watch({os.getpid(), place.oned.process.pid})
    with watch.watching():
        place.oned.submit(9, _script(place, "long", vm_id=9))
        place.oned.wait_log(9, "Use them well")
        directories = list(Path(tempfile.gettempdir()).glob("tm_ansible.*ssh*"))
        assert directories
        assert all(path.stat().st_mode & 0o777 == 0o700 for path in directories)
        place.oned.send("DRIVER_CANCEL 9")
        assert place.oned.transfer(9, _script(place, "none", vm_id=9)).ok
    assert len(place.oned.replies(9)) == 1
    _check(place, watch)


def test_server_of_warm_workers_holds_no_secret(place: Place, server: str) -> None:
    """What one run is told is nowhere in the process from which the next one starts."""
    if "warm: true" not in (place.site.etc / "settings.yml").read_text():
        pytest.skip("runs start cold")
    for kind in SUCCEEDS:
        place.oned.transfer(7, _script(place, kind, server))
    held = memory(place.oned.wait_warm())
    assert b"ansible" in held
    # The site gives this one to all its runs.
    assert set(_secrets_in(held)) <= {GIVEN_TO_RUNS}
    assert place.key not in held
