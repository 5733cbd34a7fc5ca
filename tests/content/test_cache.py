"""The cache of images: filled once, never out of date, whole or not at all."""

import io
import json
import mmap
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streams
from ansible_collections.one.tm.plugins.module_utils import (
    attributes,
    blocks,
    cache,
    copying,
    entries,
    frames,
    keylock,
    meter,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from streams import copy
from worlds import names

MIB = 1 << 20
HOST = {"boot": "b", "mounts": "m", "machine": "4711"}
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give an image of 2 MiB with a hole of 2 MiB."""
    path = tmp_path / "base.img"
    path.write_bytes(os.urandom(2 * MIB))
    os.truncate(path, 4 * MIB)
    return path


def key(path: Path, host: dict[str, str] = HOST, name: str = "node1") -> str:
    """Give the key of a file."""
    return cache.key_of(name, host, str(path), entries.scan(str(path)).root)


def opened(directory: Path, size: int = 1 << 30, age: float = 1000) -> cache.Cache:
    """Give a cache."""
    return cache.Cache(str(directory), size, age)


def nobody_waits() -> None:
    """Fail: nobody else is there."""
    raise AssertionError("waited for nobody")


def take(kept: cache.Cache, image: Path, final: Path, waiting: Callable = nobody_waits) -> str:
    """Copy an image by way of a cache, as a receiver does; tell whether it was there."""
    wanted = attributes.Attributes(mode="a+w")
    with kept.entry(key(image), waiting) as entry:
        if entry.source:
            entry.copy(entry.source, str(final), wanted, meter.Meter("", 0))
            return "hit"
        source = copying.open_source(str(image))
        try:
            copying.copy(source, str(final), wanted)
            entry.fill(source, blocks_of(source))
        finally:
            os.close(source.descriptor)
        return "filled"


def blocks_of(source: copying.Source) -> blocks.Blocks:
    """Give the blocks that a stream of a file has."""
    found = blocks.Blocks()
    found.read_before(source.path, source.descriptor, source.size)
    return found


def cached(directory: Path, suffix: str = ".img") -> list[Path]:
    """Give the files of a cache."""
    return sorted(directory.glob(f"*{suffix}"))


def test_the_second_copy_comes_from_the_cache(tmp_path, image):
    """It has the contents, the time and the holes of the source; what is kept is read-only."""
    kept = opened(tmp_path / "cache")
    assert take(kept, image, tmp_path / "a") == "filled"
    assert take(kept, image, tmp_path / "b") == "hit"
    assert (tmp_path / "b").read_bytes() == image.read_bytes()
    assert (tmp_path / "b").stat().st_mtime_ns == image.stat().st_mtime_ns
    assert (tmp_path / "b").stat().st_mode & 0o222 == 0o222
    assert (tmp_path / "b").stat().st_blocks * 512 <= 2 * MIB * 1.05
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    (file,) = cached(tmp_path / "cache")
    assert file.stat().st_mode & 0o777 == 0o400


def rewrite(path: Path) -> None:
    """Give a file another contents of the same size and time."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Put another file of the same size and time in its place."""
    other = path.with_name("other")
    other.write_bytes(os.urandom(path.stat().st_size))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)


@pytest.mark.parametrize("change", [rewrite, replace, lambda path: os.truncate(path, MIB)])
def test_a_source_that_changed_is_another(tmp_path, image, change):
    """Also where size and modification time say that it is not."""
    kept = opened(tmp_path / "cache")
    take(kept, image, tmp_path / "a")
    time.sleep(0.02)
    change(image)
    assert take(kept, image, tmp_path / "b") == "filled"
    assert (tmp_path / "b").read_bytes() == image.read_bytes()


def test_the_key_is_of_host_and_path_and_outlives_a_boot(image, tmp_path):
    """The same file on another machine, or under another name, is another."""
    (tmp_path / "link").hardlink_to(image)
    assert key(image) != key(image, HOST | {"machine": "4712"})
    assert key(image) != key(image, name="node2")
    assert key(image) != key(tmp_path / "link")
    assert key(image) == key(image, HOST | {"boot": "later", "mounts": "other"})
    nameless = HOST | {"machine": ""}
    assert key(image, nameless) != key(image, nameless | {"boot": "later"})


def flip(file: Path) -> None:
    """Write into a cached file, and set its time back."""
    file.chmod(0o600)
    rewrite(file)
    file.chmod(0o400)


def cut(file: Path) -> None:
    """Cut an entry; only root may without a change of its mode."""
    file.chmod(0o600)
    os.truncate(file, 1)
    file.chmod(0o400)


def spoil_note(file: Path) -> None:
    """Cut a note."""
    note = file.with_suffix(".json")
    note.write_bytes(note.read_bytes()[:-5])


DAMAGES = {
    "written": flip,
    "cut": cut,
    "touched": os.utime,
    "replaced": replace,
    "linked": lambda file: file.with_name("more").hardlink_to(file),
    "gone": lambda file: file.unlink(),
    "note cut": spoil_note,
    "note gone": lambda file: file.with_suffix(".json").unlink(),
    "note odd": lambda file: file.with_suffix(".json").write_text("[]"),
    "link": lambda file: (file.unlink(), file.symlink_to("/etc/passwd")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_that_is_not_as_it_was_is_thrown_away(tmp_path, image, damage):
    """The copy is made anew and is right, and so is the next one from the cache."""
    kept = opened(tmp_path / "cache")
    take(kept, image, tmp_path / "a")
    time.sleep(0.02)
    DAMAGES[damage](cached(tmp_path / "cache")[0])
    assert take(kept, image, tmp_path / "b") == "filled"
    assert take(kept, image, tmp_path / "c") == "hit"
    assert (tmp_path / "c").read_bytes() == image.read_bytes()


def start(work: Callable, *arguments: object) -> "multiprocessing.process.BaseProcess":
    """Start a process of its own."""
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def slow_fill(directory: Path, image: Path, seconds: float, log: Path) -> None:
    """Take an image; note a fill and a wait in a log."""

    def waited() -> None:
        with log.open("a") as stream:
            stream.write("waited\n")

    with opened(directory).entry(key(image), waited) as entry:
        if entry.source:
            return
        with log.open("a") as stream:
            stream.write("filled\n")
        time.sleep(seconds)
        source = copying.open_source(str(image))
        entry.fill(source, blocks_of(source))


def test_of_many_at_once_one_fills_and_the_others_wait(tmp_path, image):
    """Each says once that it waits."""
    log = tmp_path / "log"
    began = [start(slow_fill, tmp_path / "cache", image, 1.0, log) for _ in range(8)]
    for process in began:
        process.join(30)
        assert process.exitcode == 0
    assert sorted(log.read_text().split()) == ["filled"] + ["waited"] * 7


def test_when_the_one_who_fills_is_killed_the_next_takes_over(tmp_path, image):
    """Nothing of the killed one is left, and the image is right."""
    log = tmp_path / "log"
    first = start(slow_fill, tmp_path / "cache", image, 60, log)
    until(log.exists)
    second = start(slow_fill, tmp_path / "cache", image, 0, log)
    until(lambda: "waited" in log.read_text())
    os.kill(first.pid or 0, signal.SIGKILL)
    second.join(30)
    first.join()
    assert log.read_text().split() == ["filled", "waited", "filled"]
    (file,) = cached(tmp_path / "cache")
    assert file.read_bytes() == image.read_bytes()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something, ten seconds at most."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def endless_fill(directory: Path, image: Path) -> None:
    """Fill, and stop in the middle of the copy."""
    blocks.Blocks.copy_contents = lambda *_all: time.sleep(60)
    copying.share = lambda *_all: False
    take(opened(directory), image, directory.parent / "unused")


def test_what_a_fill_that_was_killed_in_the_copy_left_is_swept(tmp_path, image):
    """It has a name of ours, no note, and goes with the next use."""
    original = copying.copy

    def only_the_cache(source: copying.Source, final: str, *more: Any, **most: Any) -> bool:
        return original(source, final, *more, **most) if "cache" in final else True

    def fill() -> None:
        copying.copy = only_the_cache
        endless_fill(tmp_path / "cache", image)

    process = start(fill)
    until(lambda: list((tmp_path / "cache").glob(".tm-*.part")) != [])
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert cached(tmp_path / "cache", ".json") == []
    assert take(opened(tmp_path / "cache"), image, tmp_path / "a") == "filled"
    assert list((tmp_path / "cache").glob(".tm-*")) == []


def make(tmp_path: Path, number: int) -> Path:
    """Make one more image of 1 MiB."""
    path = tmp_path / f"image{number}"
    path.write_bytes(os.urandom(MIB))
    return path


def kept_images(directory: Path, images: list[Path]) -> list[int]:
    """Give the numbers of the images that a cache has."""
    there = {file.stem for file in cached(directory)}
    return [number for number, image in enumerate(images) if key(image) in there]


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    """Never what is in use; nothing of what goes is left."""
    images = [make(tmp_path, number) for number in range(4)]
    kept = opened(tmp_path / "cache", 3 * MIB + 4096)
    for number in (0, 1, 2):
        take(kept, images[number], tmp_path / "copy")
        time.sleep(0.02)
    assert take(kept, images[0], tmp_path / "copy") == "hit"
    with kept.entry(key(images[1]), nobody_waits) as used:
        assert used.source
        os.utime(tmp_path / "cache" / f"{key(images[1])}.json", (1, 1))
        take(kept, images[3], tmp_path / "copy")
        assert kept_images(tmp_path / "cache", images) == [0, 1, 3]
    assert not list((tmp_path / "cache").glob(f"{key(images[2])}*"))
    assert kept.takes(3 * MIB)
    assert not kept.takes(4 * MIB)


def test_what_is_too_old_goes(tmp_path):
    """With the next fill; what was used since stays."""
    images = [make(tmp_path, number) for number in range(3)]
    kept = opened(tmp_path / "cache", age=100)
    for image in images[:2]:
        take(kept, image, tmp_path / "copy")
        os.utime(tmp_path / "cache" / f"{key(image)}.json", (1, 1))
    with kept.entry(key(images[1]), nobody_waits):
        pass
    take(kept, images[2], tmp_path / "copy")
    assert kept_images(tmp_path / "cache", images) == [1, 2]


def test_no_host_fills_the_entry_of_another(tmp_path, image, settled):
    """Though it says of itself and of its image what the other one says."""
    settings = {"directory": str(tmp_path / "cache"), "size_gib": 1, "age_days": 1}
    for host, name, origins in (
        ("node2", "a", [""]),
        ("node1", "b", [""]),
        ("node1", "c", ["copy", "reflink"]),
    ):
        done = copy(image, tmp_path / name, cache=settings, source_host=host)
        assert done.result["cached"] in origins
    assert len(cached(tmp_path / "cache")) == 2


def test_a_directory_below_a_link(tmp_path, image):
    """It is filled and read as any other."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    kept = opened(tmp_path / "link" / "cache/")
    assert take(kept, image, tmp_path / "a") == "filled"
    assert take(kept, image, tmp_path / "b") == "hit"
    assert len(cached(tmp_path / "real" / "cache")) == 1


def test_a_directory_that_is_none_of_ours_is_refused(tmp_path):
    """A link, a file, somebody else's, or one that others may write to."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    reasons = {"link": "is a link", "file": "is a link or a file", "open": "others may write"}
    if os.geteuid() == 0:
        (tmp_path / "theirs").mkdir()
        os.chown(tmp_path / "theirs", 12345, -1)
        reasons["theirs"] = "belongs to user number 12345"
    for name, reason in reasons.items():
        with pytest.raises(TmError, match=reason):
            opened(tmp_path / name)
    with pytest.raises(TmError, match="not an absolute path"):
        cache.Cache("cache", 1, 1)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 3 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.root
def test_a_full_disk_leaves_no_entry(tmp_path, image, small):
    """The error is for the one who fills; the next one finds nothing half done."""
    kept = opened(small / "cache")
    (small / "other").write_bytes(bytes(2 * MIB))
    with pytest.raises(TmError, match="no space"):
        take(kept, image, tmp_path / "a")
    assert [name for name in names(small / "cache") if not name.endswith(".lock")] == []


def test_a_lock_that_was_removed_is_no_lock(tmp_path):
    """Who waited for it takes the new one."""
    one, two, three = (keylock.KeyLock(str(tmp_path / "lock")) for _ in range(3))
    assert one.take(alone=True)
    assert not two.take(alone=False)
    one.remove()
    assert two.take(alone=True)
    one.release()
    assert not three.take(alone=True)
    two.share()
    assert three.take(alone=False)


def test_the_note_is_json(tmp_path, image):
    """A person can read it; the digest is that of a stream of the image in one segment."""
    take(opened(tmp_path / "cache"), image, tmp_path / "a")
    (note,) = cached(tmp_path / "cache", ".json")
    said = json.loads(note.read_text())
    assert said["size"] == 4 * MIB
    ends = [payload for type_, payload in frames_of(image) if type_ == frames.END_OF_FILE]
    assert [said["digest"]] == [payload.hex() for payload in ends]


def frames_of(image: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and payload of the frames that a sender writes for an image."""
    stream = io.BytesIO(streams.send(image, {"send": True, "marker": "none", "name": "none"}))
    frames.skip_noise(stream)
    while head := stream.read(frames.HEAD_BYTES):
        type_, _offset, length = frames.FRAME.unpack(head[: frames.FRAME.size])
        yield type_, stream.read(length)


def flip_on_disk(disk: Path, file: Path, contents: bytes) -> None:
    """Flip one bit of a file where its file system has it, and have it read from there again."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
        with disk.open("r+b") as below, mmap.mmap(below.fileno(), 0) as data:
            place = data.find(contents)
            assert place > 0
            while place > 0:  # the blocks of a file that is gone have the same contents
                data[place + len(contents) // 2] ^= 4
                place = data.find(contents)
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.fixture
def settled(monkeypatch):
    """Have a source count as settled at once."""
    monkeypatch.setattr(entries, "SETTLED_SECONDS", 0)


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 32 MiB on which no blocks are shared; beside it is ``ext4.img``."""
    image, mount = tmp_path / "ext4.img", tmp_path / "mount"
    mount.mkdir()
    image.touch()
    os.truncate(image, 32 * MIB)
    if not shutil.which("mkfs.ext4"):
        pytest.skip("needs mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    argv = ["mount", "-o", "loop", str(image), str(mount)]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("victim", ["image", "blocks", "list"])
def test_a_bit_that_the_disk_flipped_is_found(tmp_path, image, ext4, settled, victim):
    """Though inode, size and all times are as they were: the copy is anew from the source."""
    place = ext4 / "cache"
    settings = {"directory": str(place), "size_gib": 1, "age_days": 1, "host": "node1"}
    assert copy(image, ext4 / "a", cache=settings).result["cached"] == ""
    (kept,) = cached(place, ".sum" if victim == "blocks" else ".img")
    (ext4 / "a").unlink()
    before = kept.stat()
    if victim == "list":
        kept.with_suffix(".sum").write_bytes(b"short")
    else:
        contents = kept.read_bytes()
        middle = contents[MIB : MIB + 4096] or contents
        flip_on_disk(tmp_path / "ext4.img", kept, middle)
        assert kept.read_bytes() != contents
    after = kept.stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    again = copy(image, ext4 / "b", cache=settings)
    said = [message["log"] for message in again.messages if "log" in message]
    assert len(said) == 1
    assert said[0].startswith("base.img is damaged in the cache of node1 and thrown away: the ")
    assert again.result["cached"] == ""
    assert (ext4 / "b").read_bytes() == image.read_bytes()
    assert copy(image, ext4 / "c", cache=settings).result["cached"] == "copy"
    assert (ext4 / "c").read_bytes() == image.read_bytes()


def test_a_resumed_image_is_kept_whole(tmp_path, image):
    """What an earlier run had brought is among the blocks that are kept."""
    source = copying.open_source(str(image))
    whole, rest = blocks_of(source), blocks.Blocks()
    for block in whole:
        if block[0] >= MIB:
            rest.add(*block)
    rest.read_before(source.path, source.descriptor, MIB)
    os.close(source.descriptor)
    assert rest.rows == whole.rows
    assert len(list(whole)) == 2


def test_an_image_of_too_many_pieces_is_not_held(monkeypatch):
    """The list of blocks is bounded, and says so."""
    monkeypatch.setattr(blocks, "MOST", 3)
    found = blocks.Blocks()
    for number in range(100):
        found.add(number * MIB, 1, 0)
    with pytest.raises(TmError, match="more than 3 pieces"):
        _ = found.rows
    assert len(list(found)) == 4


@pytest.mark.root
def test_a_clone_by_reflink_needs_no_room(tmp_path, image, settled):
    """Where blocks are shared, the cache serves what the file system could not hold twice."""
    disk, mount = tmp_path / "xfs.img", tmp_path / "mount"
    mount.mkdir()
    disk.touch()
    os.truncate(disk, 320 * MIB)
    if not shutil.which("mkfs.xfs"):
        pytest.skip("needs mkfs.xfs")
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(disk)], check=True)
    argv = ["mount", "-o", "loop", str(disk), str(mount)]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        settings = {"directory": str(mount / "cache"), "size_gib": 1, "age_days": 1}
        assert copy(image, mount / "a", cache=settings).result["cached"] == ""
        free = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
        with (mount / "ballast").open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, free - MIB)
        assert copy(image, mount / "b", cache=settings).result["cached"] == "reflink"
        assert (mount / "b").read_bytes() == image.read_bytes()
        refused = copy(image, mount / "c")
        assert "no space in" in refused.error["message"]
    finally:
        subprocess.run(["umount", str(mount)], check=True)
