"""The storage guide's samples in ``examples/``, on real hosts."""

import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.hosts import SshHost
from tests.support.oned import ROOT
from tests.support.servers import Ftp, serving
from tests.support.site import Site

EXAMPLES = ROOT / "examples"


@pytest.fixture
def site(front_end: Path, inventory: Path, tmp_path: Path) -> Site:
    """Give a site of the model ``shared`` whose CLONE and LN are the samples."""
    site = Site(front_end / tmp_path.name, "shared").install(inventories=[inventory])
    action_map = site.etc / "tm_ansible_shared.conf"
    text = action_map.read_text()
    for verb, name in (("CLONE", "clone"), ("LN", "ln")):
        shutil.copy(EXAMPLES / "shared-repository" / f"{name}.yml", site.etc)
        text = text.replace(f"shared/{name}.yml", f"{name}.yml")
        assert f"{verb}" in text
    action_map.write_text(text)
    return site


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give an image repository that all hosts see, with one image."""
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "a.img").write_bytes(b"image")
    return tmp_path / "repository"


@pytest.fixture
def web(repository: Path) -> Iterator[str]:
    """Give the address of a web server on this machine that has the repository."""
    handler = functools.partial(_Quiet, directory=str(repository))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    """A handler that does not print every request."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.mark.warm
def test_shared_repository(
    site: Site, nodes: dict[str, SshHost], repository: Path, web: str
) -> None:
    """The samples link, copy and download on the destination's host, twice alike."""
    images = site.vm_dir(7) / "images"
    script = (
        f"CLONE fe:{repository}/a.img node1:{images}/disk.0\n"
        f"LN fe:{repository}/a.img node1:{images}/disk.1\n"
        f"CLONE {web}/a.img node1:{images}/disk.2\n"
    )
    with site.start() as oned:
        for _ in range(2):
            done = oned.transfer(7, script)
            assert done.ok, done.reason
    there = nodes["node1"].path(images)
    assert (there / "disk.0").read_bytes() == b"image"
    assert (there / "disk.1").readlink() == repository / "a.img"
    assert (there / "disk.2").read_bytes() == b"image"
    assert (there / "disk.0").stat().st_mode & 0o222 == 0o222
    assert sorted(path.name for path in there.iterdir()) == ["disk.0", "disk.1", "disk.2"]


@pytest.mark.warm
def test_one_more_scheme(
    front_end: Path, inventory: Path, nodes: dict[str, SshHost], tmp_path: Path, repository: Path
) -> None:
    """A task file in ``schemes/`` teaches CLONE a kind of URL; one that nobody knows is refused."""
    site = Site(front_end / tmp_path.name, "ssh").install(inventories=[inventory])
    (site.etc / "schemes").mkdir()
    shutil.copy(EXAMPLES / "schemes" / "file.yml", site.etc / "schemes")
    disk = site.vm_dir(7) / "images" / "disk.0"
    with site.start() as oned:
        done = oned.transfer(7, f"CLONE file://{repository}/a.img node1:{disk}\n")
        assert done.ok, done.reason
        texts = [line.removeprefix("CLONE node1: ") for line in done.log]
        assert [text.split()[0] for text in texts] == ["copied", "downloaded"], done.log
        for secret in ("/etc/hostname", f"{repository}/../../../../etc/hostname"):
            kept = oned.transfer(7, f"CLONE file://{secret} node1:{disk}.secret\n")
            assert "refused the source" in kept.reason
        refused = oned.transfer(7, f"CLONE gopher://x/a.img node1:{disk}.gopher\n")
    assert nodes["node1"].path(disk).read_bytes() == b"image"
    assert not refused.ok
    assert "gopher" in refused.reason
    assert "schemes" in refused.reason


@pytest.mark.long
def test_ftp_by_wget(
    front_end: Path, inventory: Path, nodes: dict[str, SshHost], tmp_path: Path, repository: Path
) -> None:
    """The site's own ftp.yml goes before the built-in way; wget's own error is the reason."""
    site = Site(front_end / tmp_path.name, "ssh").install(inventories=[inventory])
    (site.etc / "schemes").mkdir()
    shutil.copy(EXAMPLES / "schemes" / "ftp.yml", site.etc / "schemes")
    disk = site.vm_dir(7) / "images" / "disk.0"
    server = serving(type("Here", (Ftp,), {"root": repository}))
    with site.start() as oned, server as address:
        copied = oned.transfer(7, f"CLONE ftp://{address}/a.img node1:{disk}\n")
        assert copied.ok, copied.reason
        assert nodes["node1"].path(disk).read_bytes() == b"image"
        nodes["node1"].path(disk).unlink()
        done = oned.transfer(7, f"CLONE ftp://127.0.0.1:9/a.img node1:{disk}\n")
    assert not done.ok
    assert "wget" in done.reason or "refused" in done.reason
    assert "efused" in done.reason
    assert not any(nodes["node1"].path(disk).parent.glob("*"))
