"""The path policy: each rule, by every step that writes, moves or removes, on real files."""

import os
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.one.tm.plugins.module_utils import (
    attributes,
    clone,
    directories,
    link,
    meter,
    mkimage,
    mkswap,
    move,
    policy,
    publish,
    remove,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from hypothesis import given
from hypothesis import strategies as st
from streams import copy
from worlds import tree

MIB = 1 << 20
KEEP = attributes.Attributes()


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Give a place with VM_DIR, in which two VMs have an image each, a repository and a victim."""
    for vm in ("7", "8"):
        images = tmp_path / "vms" / vm / "images"
        images.mkdir(parents=True)
        (images / "disk.0").write_bytes(os.urandom(MIB))
    (tmp_path / "repository" / "files").mkdir(parents=True)
    (tmp_path / "repository" / "base.img").write_bytes(os.urandom(MIB))
    (tmp_path / "victim" / "images").mkdir(parents=True)
    (tmp_path / "victim" / "images" / "precious").write_text("mine")
    return tmp_path


def params(world: Path, **more: Any) -> dict[str, Any]:
    """Give what all steps take: VM 7 may act in VM_DIR."""
    return {"allowed_dirs": [str(world / "vms")], "vm_id": 7, "mode": "a+w", **more}


def _clone(world: Path, destination: Path, **more: Any) -> Any:
    source = str(world / "repository" / "base.img")
    return clone.run(params(world, source=source, destination=str(destination), **more), False)


def _link(world: Path, destination: Path, **more: Any) -> Any:
    source = str(world / "repository" / "base.img")
    return link.run(params(world, source=source, destination=str(destination), **more), False)


def _mkswap(world: Path, destination: Path, **more: Any) -> Any:
    return mkswap.run(params(world, size_mib=1, destination=str(destination), **more), False)


def _mkimage(world: Path, destination: Path, **more: Any) -> Any:
    kind = {"filesystem": "raw", "size_mib": 1, "source": None, "uuid": None}
    return mkimage.run(params(world, destination=str(destination), **kind, **more), False)


def _publish(world: Path, destination: Path, **more: Any) -> Any:
    words = params(world, destination=str(destination), format="raw", **more)
    made = publish.run({**words, "state": "prepared"}, False)
    Path(made["path"]).write_text("fetched")
    return publish.run({**words, "state": "published"}, False)


def _move(world: Path, destination: Path, **more: Any) -> Any:
    source = str(world / "vms" / "7" / "images" / "disk.0")
    words = {"source": source, "destination": str(destination), "into": True}
    return move.run(params(world, **{**words, **more}), False)


def _receive(world: Path, destination: Path, **more: Any) -> Any:
    copied = copy(world / "repository" / "base.img", destination, **params(world, **more))
    if "error" in copied.last:
        raise TmError(copied.last["error"]["message"])
    return copied.result


WRITERS = [_clone, _link, _mkswap, _mkimage, _publish, _move, _receive]
Writer = Callable[..., Any]


def name_of(writer: Writer) -> str:
    """Name a test by its step."""
    return writer.__name__.strip("_")


@pytest.fixture(params=WRITERS, ids=name_of)
def write(request: pytest.FixtureRequest) -> Writer:
    """Give each step that makes an image at a destination."""
    return request.param  # type: ignore[no-any-return]


def refused(world: Path, do: Callable[[], Any], reason: str) -> str:
    """See that something is refused for a reason and changes nothing; give the message."""
    before = tree(world)
    with pytest.raises(TmError, match=reason) as caught:
        do()
    assert tree(world) == before
    assert (world / "victim" / "images" / "precious").read_text() == "mine"
    return caught.value.message


def test_a_vm_s_own_directory_takes_images(world: Path, write: Writer) -> None:
    """It, and directories in it that are made."""
    write(world, world / "vms" / "7" / "new" / "disk.1")
    assert (world / "vms" / "7" / "new" / "disk.1").exists()
    assert not list(world.rglob(".tm-*"))


@pytest.mark.parametrize("place", ["victim/disk.1", "vms-other/7/disk.1", "vms/other/disk.1"])
def test_nothing_is_written_anywhere_else(world: Path, write: Writer, place: str) -> None:
    """The refusal names the VM, the directories and both settings."""
    message = refused(world, lambda: write(world, world / place), "refused the destination")
    assert f"in the directory of VM 7 below an allowed one ({world}/vms)" in message
    assert "allowed_dirs and allowed_for" in message


def test_nothing_is_written_through_a_link(world: Path, write: Writer) -> None:
    """The place that counts is where a path really leads; the message has both."""
    (world / "vms" / "7" / "way").symlink_to(world / "victim")
    destination = world / "vms" / "7" / "way" / "images" / "disk.1"
    reason = rf"{destination} \(really {world}/victim/images/disk.1\): it is not in"
    refused(world, lambda: write(world, destination), reason)


def test_nothing_is_written_for_another_vm(world: Path, write: Writer) -> None:
    """Neither by its name, nor through a link, nor under an odd spelling."""
    (world / "vms" / "7" / "way").symlink_to("../8")
    for place in ("8/images/disk.1", "7/way/disk.1", "007/disk.1", "9/disk.1"):
        reason = "it is VM (8|007|9)'s, and this is for VM 7; no setting allows that"
        refused(world, lambda place=place: write(world, world / "vms" / place), reason)


@pytest.mark.parametrize("more", ["", "vms", "vms/8"])
def test_no_setting_opens_another_vm_s_directory(world: Path, write: Writer, more: str) -> None:
    """However a site widens the policy."""
    wide = {"more_dirs": [str(world / more)], "source_dirs": [str(world)]}
    do = lambda: write(world, world / "vms" / "8" / "images" / "disk.1", **wide)  # noqa: E731
    refused(world, do, "VM 8's|is an allowed directory")


def test_the_root_is_never_an_allowed_directory(world: Path, write: Writer) -> None:
    """Nor is a link to it, or what is no absolute path."""
    (world / "all").symlink_to("/")
    for root in ("/", "//", str(world / "all"), "", "vms"):
        wide = {"more_dirs": [root]}
        do = lambda wide=wide: write(world, world / "victim" / "disk.1", **wide)  # noqa: E731
        refused(world, do, "allowed_for")


def test_a_site_may_widen_it_for_one_verb(world: Path, write: Writer) -> None:
    """By a directory, in which no VM's number is asked for."""
    write(world, world / "victim" / "disk.1", more_dirs=[str(world / "victim")])
    assert (world / "victim" / "disk.1").exists()


def test_what_the_driver_keeps_is_no_destination(world: Path, write: Writer) -> None:
    """Though a wide directory has it."""
    wide = {"more_dirs": [str(world)], "own_paths": [str(world / "victim")]}
    do = lambda: write(world, world / "victim" / "disk.1", **wide)  # noqa: E731
    refused(world, do, f"the transfer driver keeps {world}/victim for itself")


def test_without_a_number_any_vm_s_directory_will_do(world: Path, write: Writer) -> None:
    """As a person moves images; what lies outside is refused all the same."""
    write(world, world / "vms" / "8" / "images" / "disk.1", vm_id=-1)
    do = lambda: write(world, world / "victim" / "disk.1", vm_id=-1)  # noqa: E731
    refused(world, do, "it is not below an allowed directory")


def test_only_a_move_saves_into_an_image_repository(world: Path, write: Writer) -> None:
    """A repository is for images that are done; other verbs take from it and write elsewhere."""
    destination = world / "repository" / "saved.img"
    named = {"source_dirs": [str(world / "repository")]}
    if write is _move:
        write(world, destination, **named)
        assert destination.exists()
    else:
        refused(world, lambda: write(world, destination, **named), "refused the destination")


def test_a_received_move_saves_into_an_image_repository(world: Path) -> None:
    """As a move within a host does."""
    source = world / "vms" / "7" / "images" / "disk.0"
    rules = params(world, move=True, source_dirs=[str(world / "repository")])
    copied = copy(source, world / "repository" / "saved.img", **rules)
    assert copied.result["destination"] == str(world / "repository" / "saved.img")


def saving(world: Path, name: str = "images/disk.0") -> list[Callable[[Path], Any]]:
    """Give both moves of what is a VM's into an image repository: within a host, between two."""
    source = world / "vms" / "7" / name
    rules = params(world, move=True, into=True, source_dirs=[str(world / "repository")])
    return [
        lambda path: move.run({**rules, "source": str(source), "destination": str(path)}, False),
        lambda path: taken(copy(source, path, **rules)),
    ]


def taken(copied: Any) -> Any:
    """Give what a copy came to."""
    if "error" in copied.last:
        raise TmError(copied.last["error"]["message"])
    return copied.result


@pytest.mark.parametrize("name", [".ssh/authorized_keys", "deep/.one", "deep/id_rsa", "tls.key"])
def test_no_key_is_moved_into_a_repository_in_a_directory(world: Path, name: str) -> None:
    """Whether it is a name in it or below; elsewhere a VM's directory may have any."""
    path = world / "vms" / "7" / "files" / name
    path.parent.mkdir(parents=True)
    path.write_text("a guest's")
    for save in saving(world, "files"):
        for place in ("home", ""):
            do = lambda save=save, place=place: save(world / "repository" / place / "me")  # noqa: E731
            refused(world, do, "refused the destination .*into source_dirs .*named like a key")
    _move(world, world / "vms/7/kept", source=str(world / "vms/7/files"))
    path = world / "vms" / "7" / "kept" / name
    path.rename(world / "vms" / "7" / "kept" / "disk.1")
    if path.parent.name == ".ssh":
        path.parent.rmdir()
    saving(world, "kept")[0](world / "repository" / "me")
    assert (world / "repository" / "me" / "disk.1").read_text() == "a guest's"


@pytest.mark.parametrize(
    "name", [".ssh/authorized_keys", "files/.one/x", "id_rsa", "tls.key", "one_auth"]
)
def test_no_key_is_moved_into_a_repository(world: Path, name: str) -> None:
    """A guest writes its disk; a home directory may be a repository."""
    for save in saving(world):
        do = lambda save=save: save(world / "repository" / name)  # noqa: E731
        refused(world, do, "refused the destination .*into source_dirs .*named like a key")


def test_no_image_of_a_repository_is_replaced(world: Path) -> None:
    """Other VMs build on it; a move that is done stays done."""
    before = (world / "repository" / "base.img").read_bytes()
    for save in saving(world):
        do = lambda save=save: save(world / "repository" / "base.img")  # noqa: E731
        refused(world, do, "it exists, and MV replaces nothing in source_dirs")
    assert (world / "repository" / "base.img").read_bytes() == before
    for _again in range(2):
        saving(world)[0](world / "repository" / "saved.img")


def test_what_came_into_a_repository_meanwhile_is_not_replaced(world: Path) -> None:
    """A move takes long, and another may be quicker; also across file systems."""
    saved, rules = world / "repository" / "saved.img", {"source_dirs": [str(world / "repository")]}
    source = world / "vms" / "7" / "images" / "disk.0"

    def fault(stream: bytes) -> bytes:
        saved.write_text("quicker")
        return stream

    copied = copy(source, saved, fault, **params(world, move=True, **rules))
    assert "it exists, and MV replaces nothing" in copied.last["error"]["message"]
    assert (saved.read_text(), source.exists()) == ("quicker", True)
    assert not list(world.rglob(".tm-*"))


def test_what_came_meanwhile_is_not_replaced_from_another_file_system(world: Path) -> None:
    """Which takes as long."""
    shared = Path("/dev/shm") / f"tm-{uuid.uuid4()}"
    shared.mkdir()
    saved = shared / "saved.img"
    words = {"source": str(world / "vms" / "7" / "images" / "disk.0"), "into": True}
    words |= {"destination": str(saved), "source_dirs": [str(shared)]}
    Path(words["source"]).write_bytes(os.urandom(4 * MIB))

    def swap(_message: dict[str, Any]) -> None:
        saved.write_text("quicker")

    try:
        with meter.heard_by(swap), pytest.raises(TmError, match="MV replaces nothing"):
            move.run(params(world, **words, bandwidth_mib=2), False)
        assert (saved.read_text(), Path(words["source"]).exists()) == ("quicker", True)
    finally:
        shutil.rmtree(shared)


def test_an_image_is_not_moved_out_of_a_repository(world: Path) -> None:
    """It would be gone for everybody else."""
    words = {"source": str(world / "repository" / "base.img"), "into": True}
    words |= {"destination": str(world / "vms" / "7" / "disk.1")}
    rules = params(world, source_dirs=[str(world / "repository")], **words)
    refused(world, lambda: move.run(rules, False), "refused the source .*allowed_dirs")


def taking(world: Path) -> list[Callable[[str], Any]]:
    """Give what takes a path away: DELETE, and MV within a host."""
    away = {"destination": str(world / "vms" / "7" / "away"), "into": False}
    return [
        lambda path: remove.run(params(world, path=path), False),
        lambda path: move.run(params(world, source=path, **away), False),
    ]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty"),
        ("/", "root of the file system"),
        ("{world}", "above one"),
        ("{world}/vms", "is an allowed directory"),
        ("{world}/vms/8", "VM 8's"),
        ("{world}/vms/8/images", "VM 8's"),
        ("{world}/vms/7/other/disk.0", "VM 8's"),
        ("{world}/vms/7/own/disk.0", "symbolic link"),
        ("{world}/way/7/images", "VM_DIR|images"),
        ("{world}/victim/images", "allowed_dirs"),
        ("{world}/vms/7/out/images", "allowed_dirs"),
        ("{world}/vms/one.db", "allowed_dirs"),
    ],
)
def test_only_what_is_the_vm_s_own_is_taken_away(world: Path, path: str, reason: str) -> None:
    """Neither a root, nor what is above one, nor another VM's, nor anything through a link."""
    (world / "vms" / "one.db").write_text("every VM")
    (world / "vms" / "7" / "other").symlink_to("../8/images")
    (world / "vms" / "7" / "own").symlink_to("images")
    (world / "vms" / "7" / "out").symlink_to(world / "victim")
    (world / "way").symlink_to("vms")
    for take in taking(world):
        if path == "{world}/way/7/images":
            # VM_DIR itself may be reached through a link.
            continue
        refused(world, lambda take=take: take(path.format(world=world)), reason)


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("{world}/vms", "no setting allows; name a path below it"),
        ("{world}/vms/8/images", "no setting allows that"),
        ("{world}/vms/7/kept", "keeps {world}/vms/7/kept for itself; no setting allows that"),
        (
            "{world}/vms/7/own/disk.0",
            "whatever the settings; name {world}/vms/7/images/disk.0 itself",
        ),
        ("{world}/victim/images", "see the settings allowed_dirs and allowed_for"),
        ("{world}/vms/7/../7/images", "'..', which no path may"),
    ],
)
def test_each_refusal_names_its_setting_or_that_there_is_none(
    world: Path, path: str, remedy: str
) -> None:
    """So that nobody looks for a setting in vain."""
    (world / "vms" / "7" / "own").symlink_to("images")
    rules = params(world, own_paths=[str(world / "vms" / "7" / "kept")])
    do = lambda: remove.run({**rules, "path": path.format(world=world)}, False)  # noqa: E731
    assert remedy.format(world=world) in refused(world, do, "refused the path")


def test_vm_dir_itself_may_be_a_link(world: Path) -> None:
    """By whichever name oned knows it."""
    (world / "way").symlink_to("vms")
    for allowed, named in (("way", "vms"), ("vms", "way"), ("way", "way")):
        (world / "vms" / "7" / "images" / "disk.9").write_text("x")
        path = str(world / named / "7" / "images" / "disk.9")
        rules = params(world, path=path) | {"allowed_dirs": [str(world / allowed)]}
        assert remove.run(rules, False)["changed"]


def test_a_vm_s_own_directory_goes_as_a_whole(world: Path) -> None:
    """The VM's directory is its own, and its neighbour stays."""
    assert remove.run(params(world, path=str(world / "vms" / "7")), False)["files"] == 1
    assert tree(world / "vms") == ["8", "8/images", "8/images/disk.0"]


def judged(check: Callable[..., str], path: str, rules: policy.Policy) -> str:
    """Give where a path leads that is allowed; a refusal on one line leads to where it may."""
    try:
        return f"{check(path, rules)}/"
    except TmError as error:
        assert "\n" not in error.message  # noqa: PT017
        return "/nonexistent/vms/7/"


@given(st.text(max_size=40))
def test_no_text_leads_out(text: str) -> None:
    """Whatever the path, it is refused on one line, or lies in the VM's directory."""
    rules = policy.Policy(["/nonexistent/vms"], vm_id=7)
    for check in (policy.check_removable, policy.check_destination):
        for path in (text, f"/nonexistent/vms/7/{text}", f"/nonexistent/vms/{text}"):
            assert judged(check, path, rules).startswith("/nonexistent/vms/7/")


class Swapper:
    """Puts a link in the place of a VM's directory once a copy has told that it is under way."""

    def __init__(self, world: Path) -> None:
        """Take where."""
        self._world = world
        self.done = threading.Event()

    def __call__(self, _message: dict[str, Any]) -> None:
        """Swap."""
        if not self.done.is_set():
            (self._world / "vms" / "7").rename(self._world / "old")
            (self._world / "vms" / "7").symlink_to(self._world / "victim")
            self.done.set()


def test_a_directory_that_becomes_a_link_in_mid_copy_leads_nowhere(world: Path) -> None:
    """The copy goes on in the directory that was judged."""
    source = world / "repository" / "base.img"
    source.write_bytes(os.urandom(4 * MIB))
    swap = Swapper(world)
    with meter.heard_by(swap):
        _clone(world, world / "vms" / "7" / "images" / "disk.1", bandwidth_mib=2)
    assert swap.done.is_set()
    assert tree(world / "victim") == ["images", "images/precious"]
    assert (world / "old" / "images" / "disk.1").read_bytes() == source.read_bytes()
    assert not list(world.rglob(".tm-*"))


def test_a_received_image_stays_in_the_directory_that_was_judged(world: Path) -> None:
    """Though a link takes its place while the stream comes."""
    swap = Swapper(world)

    def fault(stream: bytes) -> bytes:
        swap({})
        return stream

    final = world / "vms" / "7" / "images" / "disk.1"
    copied = copy(world / "repository" / "base.img", final, fault, **params(world))
    assert swap.done.is_set()
    assert "result" in copied.last, copied.last
    assert tree(world / "victim") == ["images", "images/precious"]
    assert (world / "old" / "images" / "disk.1").exists()


def test_a_directory_that_became_a_link_before_the_writing_is_refused(world: Path) -> None:
    """What was judged is walked without following links."""
    rules = policy.Policy([str(world / "vms")], vm_id=7)
    real = policy.check_destination(str(world / "vms" / "7" / "images" / "disk.1"), rules)
    Swapper(world)({})
    for below in ("disk.1", "new/disk.1"):
        final = str(Path(real).parent / below)
        with pytest.raises(OSError, match=r"Not a directory|symbolic"):  # noqa: SIM117
            with directories.workplace(final, KEEP):
                pytest.fail("it led out")
    assert tree(world / "victim") == ["images", "images/precious"]


def test_errors_name_the_directory_and_not_its_descriptor(world: Path) -> None:
    """Of our own sentences and of the system's."""
    final = str(world / "vms" / "7" / "images" / "disk.1")
    with pytest.raises(TmError) as caught, directories.anchored(final) as place:
        raise TmError(f"{place} is odd", [f"see {place}"])
    assert (caught.value.message, caught.value.detail) == (f"{final} is odd", [f"see {final}"])
    assert str(caught.value) == f"{final} is odd"
    with pytest.raises(FileNotFoundError) as missing, directories.anchored(final) as place:
        Path(place).rename(f"{place}.new")
    assert (missing.value.filename, missing.value.filename2) == (final, f"{final}.new")


def test_directories_on_the_way_need_not_be_readable(world: Path) -> None:
    """Search permission is all that a path needs; here for a user without rights."""
    (world / "vms").chmod(0o711)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            (world / "vms" / "7" / "images").chmod(0o777)
            for directory in (world / "vms" / "7", *world.parents):
                if str(directory).startswith("/tmp/"):
                    directory.chmod(0o755)
            world.chmod(0o711)
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            _mkimage(world, world / "vms" / "7" / "images" / "disk.1")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
