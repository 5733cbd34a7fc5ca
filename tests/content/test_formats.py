"""Formats: declared or probed, never guessed, and no image that names what it must not."""

import contextlib
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import (
    backing,
    clone,
    entries,
    formats,
    frames,
    headers,
    link,
    move,
    programs,
    publish,
    qemu,
    sender,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import ANYWHERE, names

MIB = 1 << 20
needs_qemu = pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img")
pytestmark = needs_qemu


def qemu_img(*words: object) -> str:
    """Run qemu-img and return what it says."""
    argv = ["qemu-img", *map(str, words)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def qcow2(path: Path, backing: str | Path = "", backing_format: str = "qcow2") -> Path:
    """Make an image with qemu-img, also on a backing file that is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    on = ("-u", "-b", backing, "-F", backing_format) if backing else ()
    qemu_img("create", "-q", "-f", "qcow2", *on, path, "4M")
    return path


def header(version: int = 3, **fields: int) -> bytearray:
    """Give a qcow2 header of 112 bytes, and a cluster of 512 bytes in all.

    Args:
        version: of the header.
        fields: ``backing_offset``, ``backing_size``, ``bits``, ``features``, ``length``.
    """
    data = bytearray(512)
    offset, size = fields.get("backing_offset", 0), fields.get("backing_size", 0)
    struct.pack_into(
        ">4sIQIIQ", data, 0, b"QFI\xfb", version, offset, size, fields.get("bits", 9), MIB
    )
    struct.pack_into(
        ">QQQII", data, 72, fields.get("features", 0), 0, 0, 4, fields.get("length", 104)
    )
    return data


def extension(data: bytearray, type_: int, contents: bytes, length: int | None = None) -> bytearray:
    """Put one header extension behind a header of 104 bytes."""
    said = len(contents) if length is None else length
    struct.pack_into(f">II{len(contents)}s", data, 104, type_, said, contents)
    return data


def check(path: Path, declared: str = "probe", **rules: object) -> list[formats.Backing]:
    """Check an image as a step does."""
    return formats.check_path(str(path), formats.Rules(declared, **rules))


def refused(path: Path, reason: str, tmp_path: Path, **more: object) -> None:
    """See that a clone is refused with a reason of one line, and that nothing is made."""
    params = {"source": str(path), "destination": str(tmp_path / "vm" / "disk.0")}
    params |= {"allowed_dirs": ANYWHERE, "source_dirs": [], "format": "probe", **more}
    with pytest.raises(TmError, match=reason) as caught:
        clone.run({**params, "mode": "a+w"}, False)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    assert not (tmp_path / "vm").exists()


def test_what_has_no_signature_is_raw_and_needs_no_program(tmp_path, monkeypatch):
    """Empty, short and random images pass on a host without qemu-img."""
    monkeypatch.setattr(programs, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    for contents in (b"", b"Q", os.urandom(4096).replace(b"Q", b"x"), b"\0" * 100_000):
        (tmp_path / "image").write_bytes(contents)
        assert check(tmp_path / "image") == []


def test_without_qemu_img_a_signature_is_refused_with_both_remedies(tmp_path, monkeypatch):
    """Install it, or declare the images raw."""
    image = qcow2(tmp_path / "a.qcow2")
    monkeypatch.setattr(programs, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    refused(image, r"package qemu-utils\), or declare that images are raw", tmp_path)
    assert check(image, "raw") == []


@pytest.mark.parametrize("kind", ["qcow2", "qcow", "qed", "vmdk", "vdi", "vpc", "vhdx", "raw"])
def test_an_image_of_its_own_passes_in_every_format(tmp_path, kind):
    """As qemu-img makes them, and as our own reading names them."""
    image = tmp_path / "image"
    qemu_img("create", "-q", "-f", kind, image, "4M")
    with image.open("rb") as stream:
        assert headers.read(stream.fileno()).format == kind
    assert check(image) == []


def test_a_declared_format_has_to_be_that(tmp_path):
    """Raw is not qcow2; what is declared raw is not looked into."""
    (tmp_path / "raw").write_bytes(b"data")
    with pytest.raises(TmError, match="it is raw, not qcow2; see tm_format"):
        check(tmp_path / "raw", "qcow2")
    assert check(qcow2(tmp_path / "a.qcow2"), "qcow2") == []
    assert check(qcow2(tmp_path / "b.qcow2", "/etc/shadow", "raw"), "raw") == []


HOSTILE = {
    "shadow": ("/etc/shadow", "is not below"),
    "device": ("/dev/sda", "is not below"),
    "through the parent": ("{images}/../../../../../../etc/shadow", "is not below"),
    "relative": ("../../etc/shadow", "relative path"),
    "json": ('json:{"driver":"file","filename":"/etc/shadow"}', "no plain path"),
    "nbd": ("nbd://10.0.0.1/secret", "no plain path"),
    "http": ("http://169.254.169.254/", "no plain path"),
    "file protocol": ("file:/etc/shadow", "no plain path"),
    "fat": ("fat:rw:/etc", "no plain path"),
    "missing": ("{images}/gone", "cannot be read: no such file"),
    "fifo": ("{images}/fifo", "is no file"),
    "directory": ("{images}/directory", "is no file"),
    "link": ("{images}/link", r"really /etc/shadow\) is not below"),
    "link to a directory": ("{images}/etc/shadow", r"really /etc/shadow\) is not below"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("version", ["0.10", "1.1"])
def test_a_backing_file_that_must_not_be_is_refused(tmp_path, case, version):
    """Whatever the header's version; nothing is made at the destination."""
    images = tmp_path / "images"
    (images / "directory").mkdir(parents=True)
    os.mkfifo(images / "fifo")
    (images / "link").symlink_to("/etc/shadow")
    (images / "etc").symlink_to("/etc")
    name, reason = HOSTILE[case]
    image = images / "a.qcow2"
    qcow2(image)
    if version == "0.10":
        qemu_img("amend", "-f", "qcow2", "-o", "compat=0.10", image)
    write_backing(image, name.replace("{images}", str(images)))
    refused(image, reason, tmp_path)


def write_backing(image: Path, name: str) -> None:
    """Write a backing file's name into a header by hand: qemu-img would open some of them."""
    with image.open("r+b") as stream:
        stream.seek(8)
        stream.write(struct.pack(">QI", 1024, len(os.fsencode(name))))
        stream.seek(1024)
        stream.write(os.fsencode(name))


def test_a_name_with_control_characters_is_refused_in_one_line(tmp_path):
    """The log gets no line end from an image."""
    image = qcow2(tmp_path / "a.qcow2")
    write_backing(image, "/x\nLOG E 1 -\n")
    refused(image, "control characters", tmp_path)


@pytest.mark.parametrize("target", ["/etc/shadow", "own.raw", 'json:{"driver":"nbd"}'])
def test_a_data_file_is_refused_wherever_it_lies(tmp_path, target):
    """A copy would share it, and two VMs would write to it."""
    image = tmp_path / "a.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/own.raw", image, "1M")
    contents = bytearray(image.read_bytes())
    at = contents.index(struct.pack(">I", headers.EXTENSION_DATA_FILE))
    struct.pack_into(">I512s", contents, at + 4, len(target), target.encode())
    image.write_bytes(contents)
    refused(image, "its data lie in another file", tmp_path)


DAMAGED = {
    "version": header(version=4),
    "clusters": header(bits=63),
    "tiny clusters": header(bits=0),
    "name beyond": header(backing_offset=1 << 63, backing_size=10),
    "long name": header(backing_offset=104, backing_size=0xFFFFFFFF),
    "header length": header(length=0xFFFFFFF8),
    "extension": extension(header(), 0x12345678, b"", 0xFFFFFFFF),
    "unknown feature": header(features=1 << 40),
    "only a header": header(),
    "cut off": header()[:30],
    "data file bit": header(features=4),
    "data file extension": extension(header(), headers.EXTENSION_DATA_FILE, b"/etc/shadow"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_header_is_refused_at_once(tmp_path, case):
    """No length in it is believed."""
    image = tmp_path / "a.qcow2"
    image.write_bytes(DAMAGED[case])
    began = time.monotonic()
    refused(image, "refused the image", tmp_path)
    assert time.monotonic() - began < 5


def test_two_signatures_at_once_are_refused(tmp_path):
    """Nobody can say which one the next program believes."""
    contents = bytearray(qcow2(tmp_path / "a").read_bytes())
    contents[0x40:0x44] = b"\x7f\x10\xda\xbe"
    (tmp_path / "a").write_bytes(contents)
    refused(tmp_path / "a", "signatures of several formats: qcow2, vdi", tmp_path)


VMDK = '# Disk DescriptorFile\nversion=1\nCID=0\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'


@pytest.mark.parametrize("before", ["", "# x\r\n", "   \n", "\n#\n"])
@pytest.mark.parametrize("extent", ["/dev/sda", "/etc/shadow", "a-flat.vmdk"])
def test_a_vmdk_description_is_refused(tmp_path, before, extent):
    """Its extents are other files, which a clone would share; whatever precedes its version."""
    text = f'{before}{VMDK}RW 8192 FLAT "{extent}" 0\n'
    (tmp_path / "a.vmdk").write_bytes(text.encode())
    refused(tmp_path / "a.vmdk", "VMDK description", tmp_path)


def test_a_vmdk_that_builds_on_another_is_refused(tmp_path):
    """As qemu-img makes it, and with a capacity of nothing, which makes it a description."""
    base, top = tmp_path / "base.vmdk", tmp_path / "top.vmdk"
    qemu_img("create", "-q", "-f", "vmdk", base, "4M")
    qemu_img("create", "-q", "-f", "vmdk", "-b", base, "-F", "vmdk", top)
    refused(top, "builds on another", tmp_path)
    contents = bytearray(base.read_bytes())
    contents[12:20] = bytes(8)
    base.write_bytes(contents)
    refused(base, "VMDK description", tmp_path)


@pytest.mark.parametrize("kind", ["qed", "qcow"])
def test_other_formats_name_backing_files_too(tmp_path, kind):
    """They are followed like those of qcow2."""
    image = tmp_path / "a"
    qemu_img("create", "-q", "-f", kind, "-u", "-b", "/etc/shadow", "-F", "raw", image, "4M")
    refused(image, "is not below", tmp_path)


@pytest.mark.parametrize(("kind", "at", "value"), [("vpc", 60, ">I"), ("vdi", 0x4C, "<I")])
def test_differencing_disks_are_refused(tmp_path, kind, at, value):
    """They name their parent in ways of their own."""
    image = tmp_path / "a"
    qemu_img("create", "-q", "-f", kind, image, "4M")
    contents = bytearray(image.read_bytes())
    struct.pack_into(value, contents, at, 4)
    image.write_bytes(contents)
    refused(image, "builds on another one", tmp_path)


def test_the_whole_chain_is_followed(tmp_path):
    """A well-behaved image on one that is not."""
    base = qcow2(tmp_path / "images" / "base.qcow2", "/etc/shadow", "raw")
    middle = qcow2(tmp_path / "images" / "middle.qcow2", base)
    refused(
        qcow2(tmp_path / "images" / "top.qcow2", middle), r"its backing file /etc/shadow", tmp_path
    )


def test_a_chain_may_have_sixteen_files(tmp_path):
    """And not one more."""
    image = qcow2(tmp_path / "0.qcow2")
    for number in range(1, backing.DEPTH + 1):
        image = qcow2(tmp_path / f"{number}.qcow2", image)
    assert len(check(image)) == backing.DEPTH
    refused(qcow2(tmp_path / "more.qcow2", image), "more than 16, or a loop", tmp_path)


def test_a_loop_ends(tmp_path):
    """Two images that build on each other."""
    one, two = tmp_path / "one.qcow2", tmp_path / "two.qcow2"
    qcow2(one, two)
    qcow2(two, one)
    refused(one, "or a loop", tmp_path)


def test_a_backing_file_of_another_format_than_declared_is_refused(tmp_path):
    """As are drivers that are no formats; one that is declared raw is not looked into."""
    base = tmp_path / "base"
    base.write_bytes(qcow2(tmp_path / "other", "/etc/shadow", "raw").read_bytes())
    with pytest.raises(TmError, match="is not below"):
        check(qcow2(tmp_path / "top1", base))
    assert len(check(qcow2(tmp_path / "top2", base, "raw"))) == 1
    (tmp_path / "plain").write_bytes(bytes(MIB))
    with pytest.raises(TmError, match="is raw, but declared as 'vvfat'"):
        check(qcow2(tmp_path / "top3", tmp_path / "plain", "vvfat"))


def test_source_directories_decide_where_a_site_sets_them(tmp_path):
    """The image's own directory counts only without them, and no other does."""
    base = qcow2(tmp_path / "repository" / "base.qcow2")
    top = qcow2(tmp_path / "images" / "top.qcow2", base)
    with pytest.raises(TmError, match="is not below"):
        check(top)
    assert [found.path for found in check(top, source_dirs=[str(tmp_path)])] == [str(base)]
    with pytest.raises(TmError, match="is not below"):
        check(top, source_dirs=[str(tmp_path / "images")])


def test_a_backing_file_is_judged_as_a_source(tmp_path):
    """A guest that names one in its header gets nothing that it could not name as its image."""
    repository = tmp_path / "repository"
    rules = {"source_dirs": [str(repository)], "own_paths": [str(repository / "etc")]}
    for name, reason in (
        (".ssh/config", "keys are kept in .ssh"),
        ("etc/vault", f"keeps {repository}/etc for itself"),
        (".tm-0a1b2c3d4e5f6071.part", "a temporary name"),
    ):
        secret = repository / name
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(bytes(MIB))
        image = qcow2(repository / "a.qcow2", secret, "raw")
        refused(image, f"its backing file {secret}: .*{reason}", tmp_path, **rules)
    (repository / "tls.key").write_bytes(bytes(MIB))
    image = qcow2(repository / "b.qcow2", repository / "tls.key", "raw")
    refused(image, "tls.key: it is named like a key.*source_dirs", tmp_path)


def test_a_clone_on_a_permitted_backing_file_keeps_working(tmp_path):
    """In another directory it reads what the source reads."""
    base = tmp_path / "images" / "base.raw"
    base.parent.mkdir()
    base.write_bytes(os.urandom(2 * MIB))
    middle = qcow2(tmp_path / "images" / "middle.qcow2", "base.raw", "raw")
    top = qcow2(tmp_path / "images" / "top.qcow2", middle)
    params = {"source": str(top), "destination": str(tmp_path / "vm" / "disk.0"), "format": "probe"}
    clone.run({**params, "allowed_dirs": ANYWHERE}, False)
    qemu_img("check", "-q", tmp_path / "vm" / "disk.0")
    assert "identical" in qemu_img("compare", top, tmp_path / "vm" / "disk.0")


def test_a_relative_backing_file_is_refused_with_a_command_that_mends_it(tmp_path):
    """The command is tried: then the clone is right."""
    base = qcow2(tmp_path / "images" / "base.qcow2")
    top = qcow2(tmp_path / "images" / "top.qcow2", "base.qcow2")
    refused(top, f"qemu-img rebase -u -b {base} -F qcow2", tmp_path)
    qemu_img("rebase", "-u", "-b", base, "-F", "qcow2", top)
    assert [backing.path for backing in check(top)] == [str(base)]


def test_links_and_saved_disks_are_checked_and_directories_and_what_is_raw_are_not(tmp_path):
    """LN as CLONE; MV where its task says so, so that no guest keeps its VM from moving."""
    hostile = qcow2(tmp_path / "a" / "disk.0", "/etc/shadow", "raw")
    params = {"source": str(hostile), "destination": str(tmp_path / "b" / "disk.0")}
    params |= {"source_dirs": [], "allowed_dirs": [str(tmp_path)], "format": "probe", "into": True}
    for step in (link, move):
        with pytest.raises(TmError, match="is not below"):
            step.run(params, False)
        assert not (tmp_path / "b").exists()
    directory = {"source": str(tmp_path / "a"), "destination": str(tmp_path / "c")}
    assert move.run({**params, **directory}, False)["changed"]
    params["source"] = str(tmp_path / "c" / "disk.0")
    assert move.run({**params, "format": "raw"}, False)["changed"]


def test_what_is_looked_into_is_what_is_sent(tmp_path, monkeypatch):
    """An image that is replaced between its listing and the look into it is not offered."""
    image, other = tmp_path / "a.img", tmp_path / "b.img"
    image.write_bytes(b"one")
    other.write_bytes(b"two")
    scan = entries.scan

    def scan_and_replace(path: str, deep: bool) -> entries.Tree:
        found = scan(path, deep)
        other.replace(path)
        return found

    monkeypatch.setattr(entries, "scan", scan_and_replace)
    config = {"source": str(image), "source_dirs": [], "move": False, "directories": False}
    with (tmp_path / "stream").open("wb") as stream:
        sending = sender.Sender({**config, "format": "probe"}, frames.FrameWriter(stream.fileno()))
        with pytest.raises(TmError, match="was replaced while it was looked at"):
            sending.offer()


def test_what_a_site_downloaded_may_name_no_file(tmp_path):
    """Not even an allowed one; it never gets its final name."""
    base = qcow2(tmp_path / "base.qcow2")
    params = {"destination": str(tmp_path / "vm" / "disk.0"), "format": "probe"}
    params["allowed_dirs"] = ANYWHERE
    made = publish.run({**params, "state": "prepared"}, False)
    qcow2(Path(made["path"]), base)
    with pytest.raises(TmError, match="builds on another file"):
        publish.run({**params, "state": "published"}, False)
    assert "disk.0" not in names(tmp_path / "vm")


def make_program(path: Path, script: str) -> None:
    """Put a qemu-img of our own into a directory."""
    path.mkdir()
    (path / "qemu-img").write_text("#!/bin/sh\n" + script)
    (path / "qemu-img").chmod(0o755)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("yes", "says more than"),
        ("sleep 60", "too long"),
        ("head -c 2000000000 /dev/zero | tail -c 1999999999; sleep 0", "says more|too long"),
        ("echo '[]'", "cannot be understood"),
        ("echo nothing", "cannot be understood"),
        ("""echo '{"format": "qcow2", "backing-filename": "/etc/shadow"}'""", "other files"),
        ("echo first >&2; echo 'no such key' >&2; exit 1", "does not accept it: no such key"),
    ],
)
def test_a_program_that_misbehaves_is_ended_and_not_believed(tmp_path, monkeypatch, script, reason):
    """By time, by what it says, and by what it contradicts."""
    image = qcow2(tmp_path / "a.qcow2")
    make_program(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(qemu, "SECONDS", 0.5)
    began = time.monotonic()
    refused(image, reason, tmp_path)
    assert time.monotonic() - began < 10


def test_the_program_runs_under_limits(tmp_path, monkeypatch):
    """Memory, processor time, and no file of its own."""
    image = qcow2(tmp_path / "a.qcow2")
    make_program(tmp_path / "bin", "ulimit -v >&2; ulimit -t >&2; ulimit -f >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    seen = []
    monkeypatch.setattr(qemu, "_run", keeping(qemu._run, seen))
    with pytest.raises(TmError):
        check(image)
    assert seen[0][2].split() == [str(qemu.MEMORY_BYTES // 1024), str(qemu.CPU_SECONDS), "0"]


def keeping(call: Callable, seen: list) -> Callable:
    """Keep what a function returns."""

    def wrapped(*arguments: object) -> object:
        seen.append(call(*arguments))
        return seen[-1]

    return wrapped


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_any_header_gives_a_header_or_our_own_error(tmp_path, data):
    """Whatever stands behind a signature, nothing else is raised, and little is read."""
    signature = data.draw(st.sampled_from([(at, text) for _name, at, text in headers.SIGNATURES]))
    contents = bytearray(data.draw(st.binary(max_size=600)).ljust(0x50, b"\0"))
    contents[signature[0] : signature[0] + len(signature[1])] = signature[1]
    (tmp_path / "image").write_bytes(contents)
    with (tmp_path / "image").open("rb") as stream, contextlib.suppress(headers.HeaderError):
        assert headers.read(stream.fileno()).format != "raw"


def test_what_an_image_builds_on_has_to_be_the_same_on_another_host(tmp_path):
    """By size and time; else it is refused with the remedy."""
    base = qcow2(tmp_path / "base.qcow2")
    top = qcow2(tmp_path / "top.qcow2", base)
    wanted = [list(row) for row in check(top)]
    rules = formats.Rules("probe")
    formats.check_here(str(top), wanted, rules)
    with pytest.raises(TmError, match="is not below"):
        formats.check_here("/elsewhere/top.qcow2", wanted, rules)
    os.utime(base, (1, 1))
    with pytest.raises(TmError, match="it has another size or time"):
        formats.check_here(str(top), wanted, rules)
    base.unlink()
    with pytest.raises(TmError, match=r"qemu-img convert.*cannot be read: no such file"):
        formats.check_here(str(top), wanted, rules)
