"""CLONE to a host with a cache of images, and of images that name other files."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import COMMAND, environment_of, tm_ansible
from tests.support.copies import World
from tests.support.forms import in_full
from tests.support.images import MIB, age, allocated, digest, left_over

Run = subprocess.CompletedProcess


@pytest.fixture
def image(remote: World) -> Path:
    """Give an image on the front-end: 8 MiB of data and as much hole."""
    path = remote.cloud / "images" / "base.img"
    path.parent.mkdir()
    path.write_bytes(os.urandom(8 * MIB))
    os.truncate(path, 16 * MIB)
    settle(path)
    return path


def settle(path: Path) -> None:
    """Wait until a file's last change counts as long ago."""
    age(path)
    time.sleep(2.1)


@pytest.fixture
def words(remote: World, tmp_path: Path) -> tuple[str, ...]:
    """Give the options of a site whose hosts have a cache."""
    shutil.rmtree(remote.outside("node1", remote.cloud / "cache"), ignore_errors=True)
    more = tmp_path / "cache.ini"
    more.write_text(f"[all:vars]\ntm_cache_dir={remote.cloud / 'cache'}\n")
    return (*remote.words, "-i", str(more))


def clone(remote: World, words: tuple[str, ...], image: Path, number: int = 0) -> Run:
    """Clone an image to node1."""
    return tm_ansible("run", *action(remote, image, number), *words, location=remote.cloud)


def action(remote: World, image: Path, number: int) -> list[str]:
    """Give the words of a CLONE."""
    return ["CLONE", f"localhost:{image}", f"node1:{disk(remote, number)}"]


def disk(remote: World, number: int) -> Path:
    """Give the place of a clone on its host."""
    return remote.cloud / "var" / str(number) / "disk.0"


def arrived(remote: World, number: int = 0) -> Path:
    """Find a clone."""
    return remote.outside("node1", disk(remote, number))


def start(remote: World, words: tuple[str, ...], image: Path, number: int) -> subprocess.Popen[str]:
    """Start a clone."""
    return subprocess.Popen(
        [*COMMAND, "run", *action(remote, image, number), *words],
        env=environment_of(remote.cloud),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_second_clone_comes_from_the_cache(remote, words, image):
    """Its log says so; it has the image's contents, time and holes. A changed image is another."""
    first = clone(remote, words, image)
    assert "copied base.img from localhost to disk.0" in first.stdout, first
    second = clone(remote, words, image, 1)
    assert "copied base.img from the cache of node1 to disk.0" in second.stdout, second
    assert digest(arrived(remote, 1)) == digest(image)
    assert arrived(remote, 1).stat().st_mtime_ns == image.stat().st_mtime_ns
    assert allocated(arrived(remote, 1)) <= allocated(image) * 1.05
    kept = remote.outside("node1", remote.cloud / "cache")
    assert kept.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in kept.glob("*.img")] == [0o400]
    with image.open("r+b") as stream:
        stream.write(b"another")
    settle(image)
    third = clone(remote, words, image, 2)
    assert "copied base.img from localhost to disk.0" in third.stdout, third
    assert digest(arrived(remote, 2)) == digest(image)
    assert left_over(arrived(remote).parents[1], kept) == []


def test_of_several_at_once_one_crosses_the_network(remote, words, image):
    """The others wait, say so, and are right."""
    running = [start(remote, words, image, number) for number in range(4)]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    sources = sorted("from localhost to" in text for text in said)
    assert sources == [False, False, False, True], said
    for number in range(4):
        assert digest(arrived(remote, number)) == digest(image)


def test_when_the_one_who_brings_it_is_killed_the_next_takes_over(remote, words, image, tmp_path):
    """It says that it waited, and its copy is right; the cache has nothing of the killed one."""
    with image.open("r+b") as stream:
        for _ in range(256):
            stream.write(os.urandom(MIB))
    settle(image)
    slow = tmp_path / "slow.ini"
    slow.write_text("[all:vars]\ntm_front_end_bandwidth_mib=20\n")
    first = start(remote, (*words, "-i", str(slow)), image, 1)
    until(lambda: bool(list(arrived(remote, 1).parent.glob(".tm-*.part"))))
    second = start(remote, words, image, 2)
    assert second.stdout
    line = next(line for line in second.stdout if "cache" in line)
    assert "waiting: another transfer brings base.img to the cache of node1" in line
    os.killpg(first.pid, signal.SIGTERM)
    first.communicate(timeout=30)
    said = second.communicate(timeout=120)[0]
    assert second.returncode == 0, said
    assert "copied base.img from localhost to disk.0" in said
    assert digest(arrived(remote, 2)) == digest(image)
    assert left_over(remote.outside("node1", remote.cloud / "cache")) == []


def until(condition: Callable[[], bool]) -> None:
    """Wait for something, 30 seconds at most."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def make_link(path: Path) -> None:
    """Put a link in the place of a cache."""
    path.with_name("elsewhere").mkdir(exist_ok=True)
    path.symlink_to(path.with_name("elsewhere"))


def make_open(path: Path) -> None:
    """Make a directory that everybody may write to."""
    path.mkdir()
    path.chmod(0o777)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_open, "others may write"),
        *in_full((make_link, "is a link or a file"), (Path.touch, "a file")),
    ],
)
def test_a_cache_that_cannot_be_used_fails_no_clone(remote, words, image, make, reason):
    """The log says why it was left out."""
    make(remote.outside("node1", remote.cloud / "cache"))
    try:
        done = clone(remote, words, image)
        assert done.returncode == 0, done
        assert reason in done.stdout
        assert "base.img is not taken from the cache of node1: " in done.stdout
        assert digest(arrived(remote)) == digest(image)
    finally:
        remove(remote.outside("node1", remote.cloud / "cache"))


def remove(path: Path) -> None:
    """Remove what a test put in the place of the cache."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_full_cache_fails_no_clone(remote, words, image):
    """On a file system of its own that is too small; nothing of it is left there."""
    place = remote.cloud / "cache"
    remote.nodes["node1"].run("mkdir", "-p", str(place))
    options = ("-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs")
    remote.nodes["node1"].run("mount", *options, str(place))
    try:
        done = clone(remote, words, image)
        left = remote.nodes["node1"].run("find", str(place), "-name", "*.img").stdout
    finally:
        remote.nodes["node1"].run("umount", str(place))
    assert done.returncode == 0, done
    assert "base.img is not kept in the cache of node1: no space in" in done.stdout
    assert digest(arrived(remote)) == digest(image)
    assert left == ""


OTHERS = [
    pytest.param(name, marks=pytest.mark.long)
    for name in ("nbd://127.0.0.1/x", "../../../../etc/shadow")
]
needs_qemu = pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img")


def qcow2(path: Path, backing: Path | str) -> Path:
    """Make an image on a backing file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    on = ("-u", "-b", str(backing), "-F", "raw")
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *on, str(path), "16M"]
    subprocess.run(command, check=True)
    return path


@needs_qemu
@pytest.mark.parametrize("backing", ["/etc/shadow", *OTHERS])
def test_an_image_that_names_what_it_must_not_is_refused_where_it_is(remote, words, backing):
    """Nothing is made on the host, not even a directory."""
    image = qcow2(remote.cloud / "images" / "evil.qcow2", backing)
    done = clone(remote, words, image)
    assert done.returncode != 0
    assert f"refused the image {image}" in done.stdout + done.stderr
    assert not arrived(remote).parent.exists()
    declared = (*words, "-i", str(raw(remote)))
    assert clone(remote, declared, image).returncode == 0


def raw(remote: World) -> Path:
    """Give an inventory that declares all images raw."""
    path = remote.cloud / "raw.ini"
    path.write_text("[all:vars]\ntm_format=raw\n")
    return path


@needs_qemu
def test_an_image_follows_its_backing_file_to_a_host_that_has_it(remote, words, image):
    """Where it is missing or another, the reason and the remedy are told."""
    top = qcow2(remote.cloud / "images" / "top.qcow2", image)
    there = remote.outside("node1", image)
    refused = clone(remote, words, top)
    assert refused.returncode != 0
    assert f"its backing file {image}, which cannot be read: no such file" in refused.stderr
    assert "qemu-img convert" in refused.stderr
    assert not arrived(remote).exists()
    there.parent.mkdir(exist_ok=True)
    try:
        shutil.copyfile(image, there)
        assert "another size or time" in clone(remote, words, top).stderr
        shutil.copystat(image, there)
        done = clone(remote, words, top)
        assert done.returncode == 0, done
        remote.nodes["node1"].run("qemu-img", "compare", str(disk(remote, 0)), str(image))
    finally:
        shutil.rmtree(there.parent)
