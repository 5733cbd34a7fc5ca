"""Which sources are read: each rule, by every step that reads one, on real files."""

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import (
    clone,
    copying,
    link,
    mkimage,
    policy,
    sources,
    survey,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from streams import copy
from worlds import tree

from tests.support.filesystems import missing_for_file_systems

MIB = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Give a repository, VM_DIR with two VMs, and what the driver keeps."""
    for vm in ("7", "8"):
        (tmp_path / "vms" / vm / "images").mkdir(parents=True)
        (tmp_path / "vms" / vm / "images" / "disk.0").write_text("mine")
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "base.img").write_text("an image")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "vault").write_text("s3cret")
    return tmp_path


def params(world: Path, source: object, **more: Any) -> dict[str, Any]:
    """Give what steps that read take."""
    rules = {"allowed_dirs": [str(world / "vms")], "own_paths": [str(world / "etc")], "vm_id": 7}
    words = {"source": str(source), "destination": str(world / "vms" / "7" / "images" / "disk.1")}
    return {"mode": "a+w", "source_dirs": [], **rules, **words, **more}


def _clone(world: Path, source: object, **more: Any) -> None:
    clone.run(params(world, source, **more), False)


def _link(world: Path, source: object, **more: Any) -> None:
    link.run(params(world, source, **more), False)


def _receive(world: Path, source: object, **more: Any) -> None:
    rules = params(world, source, **more)
    del rules["source"]
    copied = copy(Path(str(source)), Path(rules.pop("destination")), **rules)
    if "error" in copied.last:
        raise TmError(copied.last["error"]["message"])


READERS = [_clone, _link, _receive]


@pytest.fixture(params=READERS, ids=lambda read: read.__name__.strip("_"))
def read(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Give each step that reads an image."""
    return request.param  # type: ignore[no-any-return]


def refused(world: Path, do: Callable[[], None], reason: str) -> None:
    """See that a source is refused for a reason that names the setting, and nothing is made."""
    before = tree(world)
    with pytest.raises(TmError, match=reason) as caught:
        do()
    assert "see the setting source_dirs" in caught.value.message
    assert tree(world) == before


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("/etc/hostname", "/etc"),
        ("/root/.profile", "/root"),
        ("/proc/version", "/proc"),
        ("/sys/kernel/uevent_seqnum", "/sys"),
        ("/dev/zero", "/dev"),
        ("/proc/self/root/etc/hostname", "/etc"),
    ],
)
def test_the_systems_own_places_are_no_repositories(
    world: Path, read: Callable[..., None], source: str, place: str
) -> None:
    """By their names and through a link, whatever the user may read."""
    if not os.path.exists(source):  # noqa: PTH110 - no error where it is hidden
        pytest.skip(f"there is no {source} here, or not for this user")
    (world / "repository" / "link").symlink_to(source)
    for named in (source, world / "repository" / "link"):
        do = lambda named=named: read(world, named)  # noqa: E731
        refused(world, do, f"refused the source .*{place} is the system's")


@pytest.mark.parametrize(
    "name",
    [
        ".ssh/config",
        ".gnupg/x",
        ".one/one_auth",
        "a/.ssh/b/c",
        "ssh_host_ed25519_key",
        "id_rsa",
        "Server.PEM",
        "tls.key",
        "one_auth",
        ".netrc",
        ".tm.1.journal",
        "one.db",
    ],
)
def test_keys_are_no_images(world: Path, read: Callable[..., None], name: str) -> None:
    """What is kept with keys, or named like one."""
    path = world / "repository" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("s3cret")
    refused(world, lambda: read(world, path), "keys are kept in|named like a key")


@pytest.mark.parametrize("name", ["id.img", "key", "disk.0", "pem.qcow2", "keyboard.raw"])
def test_what_is_not_named_like_a_key_is_an_image(world: Path, name: str) -> None:
    """The names are whole ones."""
    (world / "repository" / name).write_text("an image")
    _clone(world, world / "repository" / name)


def test_what_the_driver_keeps_is_no_image(world: Path, read: Callable[..., None]) -> None:
    """Not even where a site names the directory above it as a repository."""
    for more in ({}, {"source_dirs": [str(world)]}):
        do = lambda more=more: read(world, world / "etc" / "vault", **more)  # noqa: E731
        refused(world, do, f"the transfer driver keeps {world}/etc for itself")


def test_another_vm_s_disk_is_no_image(world: Path, read: Callable[..., None]) -> None:
    """One that was saved is, as in OpenNebula 1.2."""
    source = world / "vms" / "8" / "images" / "disk.0"
    refused(world, lambda: read(world, source), "it is a disk of VM 8")
    source.rename(world / "vms" / "8" / "disk.0")
    read(world, world / "vms" / "8" / "disk.0")


def test_only_whole_names_make_a_disk_another_vm_s(world: Path, read: Callable[..., None]) -> None:
    """A directory whose name begins alike is none of images."""
    place = world / "vms" / "8" / "images-done"
    place.mkdir()
    (place / "disk.0").write_text("saved")
    read(world, place / "disk.0")


def test_what_is_being_replaced_is_no_image(world: Path, read: Callable[..., None]) -> None:
    """Another VM's images lie under a name of ours then, and whatever else has such a one."""
    place = world / "vms" / "8" / ".tm-0a1b2c3d4e5f6071.old"
    (world / "vms" / "8" / "images").rename(place)
    refused(world, lambda: read(world, place / "disk.0"), "temporary name of the transfer driver")
    part = world / "repository" / ".tm-0a1b2c3d4e5f6071.part"
    part.write_text("half an image")
    for more in ({}, {"source_dirs": [str(world / "repository")]}):
        do = lambda more=more: read(world, part, **more)  # noqa: E731
        refused(world, do, "temporary name of the transfer driver")


def test_a_site_that_names_its_repositories_has_no_others(
    world: Path, read: Callable[..., None]
) -> None:
    """All links followed; and what it names is read, whatever it is called."""
    named = {"source_dirs": [str(world / "repository")]}
    (world / "elsewhere.img").write_text("no image of ours")
    (world / "repository" / "out").symlink_to("../elsewhere.img")
    (world / "repository" / ".ssh").mkdir()
    (world / "repository" / ".ssh" / "a").write_text("s3cret")
    for path in (world / "elsewhere.img", world / "repository" / "out"):
        do = lambda path=path: read(world, path, **named)  # noqa: E731
        refused(world, do, "it is not below a source directory")
    refused(world, lambda: read(world, world / "repository/.ssh/a", **named), "keys are kept")
    (world / "repository" / "base.img").rename(world / "repository" / "base.pem")
    read(world, world / "repository" / "base.pem", **named)


def test_the_root_is_no_repository(world: Path, read: Callable[..., None]) -> None:
    """To name it allows nothing."""
    do = lambda: read(world, world / "repository" / "base.img", source_dirs=["/"])  # noqa: E731
    refused(world, do, "not below a source directory")


def test_a_source_that_becomes_another_meanwhile_is_not_read(world: Path) -> None:
    """What is opened is what was judged."""
    way = world / "repository" / "way"
    way.symlink_to("base.img")
    rules = policy.Policy([str(world / "vms")])
    with sources.seen(str(way), rules) as anchor:
        way.unlink()
        way.symlink_to("/etc/hostname")
        opened = copying.open_source(str(way), at=anchor)
        assert os.pread(opened.descriptor, 99, 0) == b"an image"
        os.close(opened.descriptor)


def test_what_has_no_path_of_its_own_is_no_image(world: Path, read: Callable[..., None]) -> None:
    """A process's memory, a file that is deleted: /proc leads there, their path says nothing."""
    secret = world / "repository" / "secret"
    secret.write_text("s3cret")
    memory = os.memfd_create("secret")
    os.write(memory, b"s3cret")
    with secret.open("rb") as deleted:
        secret.unlink()
        for descriptor in (memory, deleted.fileno()):
            source = f"/proc/{os.getpid()}/fd/{descriptor}"
            with pytest.raises(TmError, match="no longer, a file with a path of its own"):
                read(world, source)
            # Another file of that name is not the one that was judged.
            name = Path(source).readlink()
            if name.is_relative_to(world):
                name.write_text("another")
                with pytest.raises(TmError, match="no longer, a file with a path of its own"):
                    read(world, source)
    os.close(memory)
    assert not (world / "vms" / "7" / "images" / "disk.1").exists()


def _mkimage(world: Path, source: object, **more: Any) -> None:
    kind = {"filesystem": "ext4", "slack_percent": 20, "uuid": None}
    mkimage.run(params(world, source, **kind, **more), False)


def _survey(world: Path, source: object, **more: Any) -> None:
    survey.run({**params(world, source, filesystem="ext4", **more), "path": str(source)}, False)


@pytest.mark.parametrize(
    "use", [_mkimage, _survey, _receive], ids=lambda use: use.__name__.strip("_")
)
def test_a_directory_of_files_holds_nothing_that_is_refused(
    world: Path, use: Callable[..., None]
) -> None:
    """Neither keys, nor what the driver keeps; it is judged as a source itself."""
    home = world / "repository" / "home"
    (home / "me" / ".ssh").mkdir(parents=True)
    refused(world, lambda: use(world, home), "refused the source .*.ssh is in it")
    refused(world, lambda: use(world, world), f"{world}/etc is in it")
    refused(world, lambda: use(world, "/etc"), "/etc is the system's")
    refused(world, lambda: use(world, home / "me" / ".ssh"), "keys are kept in .ssh")


KEPT_FROM_ALL = ("me/.ssh", "me/deep/.gnupg", ".one", "me/.tm-0a1b2c3d4e5f6071.part")


@pytest.mark.parametrize("name", KEPT_FROM_ALL)
@pytest.mark.parametrize(
    "use", [_mkimage, _survey, _receive], ids=lambda use: use.__name__.strip("_")
)
def test_a_repository_s_directory_of_files_holds_nothing_that_is_kept_from_all(
    world: Path, use: Callable[..., None], name: str
) -> None:
    """Whether the repository itself is packed or what is in it; by rules for all sites."""
    home = world / "repository" / "home"
    (home / name).mkdir(parents=True)
    (home / name / "id_rsa").write_text("s3cret")
    named = {"source_dirs": [str(home.parent)]}
    for source in (home.parent, home, (home / name).parent):
        do = lambda source=source: use(world, source, **named)  # noqa: E731
        refused(world, do, f"refused the source .*{name} is in it: ")


@pytest.mark.parametrize(
    "use", [_mkimage, _survey, _receive], ids=lambda use: use.__name__.strip("_")
)
def test_a_directory_of_files_holds_what_a_site_names(
    world: Path, use: Callable[..., None]
) -> None:
    """Whatever a repository is called, or lies in; in one, all files that are named like keys."""
    home = world / "repository" / ".ssh" / "home"
    home.mkdir(parents=True)
    (home / "ca.pem").write_text("a certificate, which is no secret")
    use(world, home, source_dirs=[str(home.parent)])
    more = {"destination": str(world / "vms" / "7" / "images" / "disk.2")}
    places = [str(world / "repository"), str(home.parent)]
    use(world, world / "repository", source_dirs=places, **more)


@pytest.mark.parametrize("named", [False, True])
def test_a_vm_s_link_to_a_directory_moves_no_key_that_lies_in_it(world: Path, named: bool) -> None:
    """Between hosts what it leads to is copied, by the rules for sources."""
    home = world / "repository" / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_rsa").write_text("s3cret")
    link = world / "vms" / "7" / "images" / "link"
    link.symlink_to(home)
    rules = {"move": True, "source_dirs": [str(home.parent)] if named else []}
    refused(world, lambda: _receive(world, link, **rules), "home/.ssh is in it: keys are kept")


@pytest.mark.parametrize(
    "use", [_mkimage, _survey, _receive], ids=lambda use: use.__name__.strip("_")
)
def test_a_directory_of_files_holds_nothing_named_like_a_key(
    world: Path, use: Callable[..., None]
) -> None:
    """Each name in it is judged as a source's is."""
    home = world / "repository" / "home"
    (home / "me").mkdir(parents=True)
    for name in ("tls.key", "one.db", ".tm-0a1b2c3d4e5f6071.part"):
        (home / "me" / name).write_text("s3cret")
        refused(world, lambda: use(world, home), f"refused the source .*{name} is in it")
        (home / "me" / name).unlink()
    use(world, home)


@pytest.mark.parametrize(
    "use", [_mkimage, _survey, _receive], ids=lambda use: use.__name__.strip("_")
)
def test_a_directory_of_files_is_no_other_vm_s(world: Path, use: Callable[..., None]) -> None:
    """Neither by itself, nor by the images that it holds."""
    for source in ("vms", "vms/8", "vms/8/images"):
        do = lambda source=source: use(world, world / source)  # noqa: E731
        refused(world, do, "it is a disk of VM 8")


EVERY = pytest.mark.parametrize(
    "use", [*READERS, _mkimage, _survey], ids=lambda use: use.__name__.strip("_")
)


@EVERY
def test_a_source_is_named_by_its_plain_path(world: Path, use: Callable[..., None]) -> None:
    """A part ``..`` is refused wherever it would lead, by every step in the same words."""
    (world / "repository" / "files").mkdir()
    for source in (f"{world}/repository/../repository/files", f"{world}/no/../repository/files"):
        with pytest.raises(TmError, match=r"the source .* a part '\.\.', which no path may"):
            use(world, source)
    assert tree(world / "vms" / "7") == ["images", "images/disk.0"]


def without_rights(do: Callable[[], None]) -> str:
    """Give the message of what fails in a process of its own, to which modes of files apply.

    Root has no more than others without its capabilities (capabilities(7), capset(2)).
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
            assert ctypes.CDLL(None).capset(header, none) == 0
            do()
        except BaseException as error:
            os.write(writing, str(getattr(error, "message", repr(error))).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        message = stream.read()
    os.waitpid(pid, 0)
    return message


def test_what_lies_in_a_directory_that_is_no_image_is_not_looked_at(world: Path) -> None:
    """It is refused for what it is, however large and whatever is in it."""
    (world / "repository" / "files").mkdir()
    os.mkfifo(world / "repository" / "files" / "pipe")
    with pytest.raises(TmError, match="files is a directory, an image is needed"):
        _receive(world, world / "repository" / "files", directories=False)


def unreadable(do: Callable[[], None], closed: dict[Path, Path]) -> None:
    """See what a user without rights is told of each path that is closed, and that it works else.

    Args:
        do: what reads a source.
        closed: paths, and what is named when nobody may use them.
    """
    for path, named in closed.items():
        mode = path.stat().st_mode
        path.chmod(0)
        said = without_rights(do)
        path.chmod(mode)
        assert f"the source {named} is not readable for user number {os.geteuid()}; " in said
        assert "let that user read it, or become one who may (setting ansible.become)" in said
        assert "\n" not in said
    assert without_rights(do) == ""


def test_an_image_that_this_user_may_not_read_is_named_with_the_remedy(
    world: Path, read: Callable[..., None]
) -> None:
    """Itself, or the directory that has it; in one line."""
    image = world / "repository" / "base.img"
    unreadable(lambda: read(world, image), {image: image, image.parent: image})


@pytest.mark.parametrize(
    "use", [_mkimage, _survey, _receive], ids=lambda use: use.__name__.strip("_")
)
def test_a_file_that_this_user_may_not_read_is_named_with_the_remedy(
    world: Path, use: Callable[..., None]
) -> None:
    """Wherever it lies in a directory of files; and so is a directory."""
    files = world / "repository" / "files"
    (files / "deep").mkdir(parents=True)
    (files / "deep" / "secret").write_text("s3cret")
    closed = {path: path for path in (files, files / "deep", files / "deep" / "secret")}
    unreadable(lambda: use(world, files), closed)


def test_an_image_holds_the_files_of_the_directory_that_was_judged(world: Path) -> None:
    """mke2fs reads it through the descriptor."""
    (world / "repository" / "files").mkdir()
    (world / "repository" / "files" / "motd").write_text("hello")
    _mkimage(world, world / "repository" / "files")
    image = world / "vms" / "7" / "images" / "disk.1"
    shown = subprocess.run(
        ["/usr/sbin/debugfs", "-R", "cat /motd", str(image)], check=True, capture_output=True
    )
    assert shown.stdout == b"hello"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a block device of 1 MiB."""
    if reason := missing_for_file_systems(("ext4",)):
        pytest.skip(reason)
    (tmp_path / "disk").write_bytes(os.urandom(MIB))
    argv = ["losetup", "--find", "--show", str(tmp_path / "disk")]
    made = subprocess.run(argv, check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip("loop devices are not to be had here")
    yield Path(made.stdout.strip())
    subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


@pytest.mark.root
def test_block_devices_are_images(world: Path, disk: Path, tmp_path: Path) -> None:
    """Volumes below /dev, by the names that lead to them."""
    (world / "repository" / "volume").symlink_to(disk)
    for number, source in enumerate((disk, world / "repository" / "volume")):
        destination = world / "vms" / "7" / "images" / f"disk.{number + 5}"
        clone.run(params(world, source, destination=str(destination)), False)
        assert destination.read_bytes() == (tmp_path / "disk").read_bytes()
