"""one.tm.transfer between the front-end and real hosts by ssh."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.forms import in_full
from tests.support.hosts import SshHost

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
BLOCK = os.urandom(MIB)
LOCALHOST = "localhost ansible_connection=local\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ansible said of one task."""

    status: str
    result: dict[str, Any]
    output: str

    @property
    def message(self) -> str:
        """The reason of a failure."""
        return str(self.result.get("msg"))

    @property
    def failed(self) -> bool:
        """Whether the task failed, with its host reached."""
        return self.status.startswith("FAILED")


@dataclass(frozen=True, slots=True)
class World:
    """The front-end and its hosts, and a way to move images between them."""

    cloud: Path
    nodes: dict[str, SshHost]
    inventories: tuple[Path, ...]

    def path(self, host: str, path: Path) -> Path:
        """Find a path of a host as the test can open it."""
        return path if host == "localhost" else self.nodes[host].path(path)

    def command(self, destination_host: str, arguments: dict[str, Any], *options: str) -> list[str]:
        """Give the command that runs one task; strings are data and no templates.

        No straight way is tried between the hosts: none is open. See test_routes.py.
        """
        arguments = {"route": "front_end", "allowed_dirs": [str(self.cloud)], **arguments}
        texts = {key: value for key, value in arguments.items() if isinstance(value, str)}
        variables = {"given": {key: {"__ansible_unsafe": text} for key, text in texts.items()}}
        words = {**arguments, **{key: f"{{{{ given.{key} }}}}" for key in texts}}
        inventories = [word for path in self.inventories for word in ("-i", str(path))]
        task = ["-m", "one.tm.transfer", "-a", json.dumps(words), "-e", json.dumps(variables)]
        return ["ansible", *inventories, "-o", destination_host, *task, *options]

    def transfer(self, destination_host: str, *options: str, **arguments: Any) -> Outcome:
        """Run one task to its end."""
        command = self.command(destination_host, arguments, *options)
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(), timeout=120
        )
        return outcome(done.stdout, done.stderr)

    def nothing_is_left(self, host: str) -> bool:
        """Tell whether a host has no temporary file of ours."""
        top = self.path(host, self.cloud)
        return not [
            name for _top, dirs, files in os.walk(top) for name in dirs + files if ours(name)
        ]

    def nothing_useless_is_left(self, host: str) -> bool:
        """Tell whether a host has nothing of ours, or what the next run can go on with."""
        found = self.path(host, self.cloud).rglob("*")
        return sorted(path.suffix for path in found if ours(path.name)) in (
            [],
            [".part", ".proven"],
        )

    def with_inventory(self, *inventories: Path) -> "World":
        """Give the same world with further inventories."""
        return World(self.cloud, self.nodes, self.inventories + inventories)


def ours(name: str) -> bool:
    """Tell whether a file has a temporary name of ours."""
    return name.startswith(".tm-")


def environment() -> dict[str, str]:
    """Give the environment of an ansible that finds the collection in this checkout."""
    own = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "LC_ALL": "C.UTF-8"}
    return {**os.environ, **own, "ANSIBLE_DEPRECATION_WARNINGS": "0", "ANSIBLE_TIMEOUT": "5"}


def outcome(output: str, errors: str) -> Outcome:
    """Read what ``ansible -o`` printed."""
    for line in output.splitlines():
        head, arrow, body = line.partition(" => ")
        if arrow and " | " in head:
            return Outcome(head.partition(" | ")[2], json.loads(body), output + errors)
        _host, unreachable, _reason = line.partition(" | UNREACHABLE!: ")
        if unreachable:
            return Outcome("UNREACHABLE", {"msg": output}, output + errors)
    raise AssertionError(output + errors)


@pytest.fixture
def world(front_end: Path, nodes: dict[str, SshHost], inventory: Path) -> Iterator[World]:
    """Give two hosts and a front-end without files."""
    for host in nodes.values():
        host.empty()
    yield World(front_end, nodes, (inventory,))
    for host in nodes.values():
        host.empty()


def dense(path: Path) -> None:
    """Write 3 MiB and a bit without a single block of zeros."""
    path.write_bytes(BLOCK * 3 + b"end")


def sparse(path: Path) -> None:
    """Write 64 MiB with 1 MiB of data in the middle and a hole at the end."""
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(31 * MIB + 5)
        file.write(BLOCK)


def zeros(path: Path) -> None:
    """Write 8 MiB of zeros that take room."""
    path.write_bytes(bytes(8 * MIB))


def empty(path: Path) -> None:
    """Write nothing."""
    path.touch()


def one_byte(path: Path) -> None:
    """Write one byte."""
    path.write_bytes(b"x")


def directory(path: Path) -> None:
    """Write a VM's directory of images."""
    path.mkdir()
    for number, write in enumerate((dense, sparse, zeros, empty, one_byte)):
        write(path / f"disk.{number}")
    (path / "disk.5").symlink_to("/srv/images/elsewhere.img")
    (path / "sub").mkdir(mode=0o750)
    dense(path / "sub" / "snapshot")
    (path / "disk.0").chmod(0o640)


# MiB of an image, and MiB a second of its copy: it takes so long that a test can step in.
BIG_MIB, SLOW_MIB = 80, 40


def big(path: Path) -> None:
    """Write an image that takes some seconds with ``SLOW_MIB``."""
    path.write_bytes(BLOCK * BIG_MIB)


def digest(path: Path) -> str:
    """Give the digest of a file, or of all that is below a directory, with times and links."""
    total = hashlib.sha256()
    for found in sorted([path, *path.rglob("*")]):
        total.update(str(found.relative_to(path)).encode())
        if found.is_symlink():
            total.update(str(found.readlink()).encode())
        elif found.is_file():
            total.update(b"%d" % found.stat().st_mtime_ns)
            total.update(hashlib.sha256(found.read_bytes()).digest())
    return total.hexdigest()


def room_of(path: Path) -> int:
    """Give the bytes that a file or tree takes on disk."""
    files = [found for found in [path, *path.rglob("*")] if found.is_file()]
    return sum(found.lstat().st_blocks * 512 for found in files if not found.is_symlink())


ROUTES = [("localhost", "node1"), ("node1", "localhost"), ("node1", "node2")]
KINDS: list[Callable[[Path], None]] = [dense, sparse, zeros, empty, one_byte]
# A directory has one file of each kind; what else is said of each is in test_places.py.
COPIES = [
    (*ROUTES[2], directory),
    *in_full(
        *((*route, directory) for route in ROUTES[:2]), *((*ROUTES[2], kind) for kind in KINDS)
    ),
]


@pytest.mark.root
@pytest.mark.parametrize(("source_host", "host", "kind"), COPIES)
def test_copy(world: World, source_host: str, host: str, kind: Callable[[Path], None]) -> None:
    """A copy has the source's contents, time, and holes; a second run changes nothing."""
    source, destination = world.cloud / "base.img", world.cloud / "7/images/disk.0"
    kind(world.path(source_host, source))
    task = {"source": str(source), "destination": str(destination), "source_host": source_host}
    first = world.transfer(host, **task)
    second = world.transfer(host, **task)
    original, copy = world.path(source_host, source), world.path(host, destination)
    assert first.status == "CHANGED", first.output
    assert digest(copy) == digest(original)
    assert room_of(copy) <= first.result["bytes"] + 64 * 1024
    assert first.result["bytes"] <= room_of(original)
    assert second.status == "SUCCESS", second.output
    assert (second.result["bytes"], second.result["complete"]) == (0, True)
    assert world.nothing_is_left(host)


@pytest.mark.root
def test_sentence(world: World) -> None:
    """The log tells what was copied, from where, under which name, and how much."""
    dense(world.cloud / "base.img")
    done = world.transfer(
        "node1",
        source_host="localhost",
        source_name="fe",
        source=str(world.cloud / "base.img"),
        destination=str(world.cloud / "disk.0"),
    )
    [sentence] = done.result["tm_log"]
    moved = r"3.0 MiB moved in [0-9.]+ s, [0-9.]+ [KM]iB/s"
    assert re.fullmatch(f"copied base.img from fe to disk.0, 3.0 MiB: {moved}", sentence)
    assert done.result["copy_seconds"] > 0


@pytest.mark.root
def test_attributes(world: World) -> None:
    """The image gets the mode, owner and group that were asked for; its directory is writable."""
    one_byte(world.cloud / "base.img")
    task = {
        "source_host": "localhost",
        "source": str(world.cloud / "base.img"),
        "destination": str(world.cloud / "7/disk.0"),
    }
    world.transfer("node1", **task)
    copy = world.path("node1", world.cloud / "7/disk.0")
    assert (copy.stat().st_mode & 0o777, copy.parent.stat().st_mode & 0o777) == (0o666, 0o777)
    other = world.transfer("node1", **task, mode="0640", owner="daemon", group="2")
    assert other.status == "CHANGED"
    status = copy.stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 1, 2)


@pytest.mark.root
def test_check_mode(world: World) -> None:
    """Check mode tells what would be copied and makes nothing, not even a directory."""
    dense(world.cloud / "base.img")
    done = world.transfer(
        "node1",
        "--check",
        source_host="localhost",
        source=str(world.cloud / "base.img"),
        destination=str(world.cloud / "7/disk.0"),
    )
    assert done.status == "CHANGED", done.output
    assert done.result["tm_log"][0].startswith("would copy base.img")
    assert list(world.nodes["node1"].private.iterdir()) == []


@pytest.mark.root
@pytest.mark.parametrize("name", ["images", *in_full("vm")])
def test_move_into_a_directory(world: World, name: str) -> None:
    """An existing directory takes the source in, unless it has the source's name: then it goes."""
    source = world.path("node1", world.cloud / "1/images")
    source.parent.mkdir()
    directory(source)
    there = world.cloud / "one" / name
    there.mkdir(parents=True)
    (there / "stale").touch()
    done = world.transfer(
        "localhost",
        source_host="node1",
        source=f"{world.cloud}/1//images",
        destination=str(there),
        into=True,
        move=True,
        allowed_dirs=[str(world.cloud)],
    )
    final = world.cloud / "one/images" if name == "images" else there / "images"
    assert done.result.get("destination") == str(final), done.output
    assert digest(final) == digest(source)
    assert (there / "stale").exists() == (name == "vm")
    assert world.nothing_is_left("localhost")


@pytest.mark.root
def test_move_again(world: World) -> None:
    """A source that was moved earlier is no failure; one that never was is."""
    task = {
        "source_host": "node1",
        "source": str(world.cloud / "disk.3"),
        "destination": str(world.cloud / "saved/disk.3"),
        "move": True,
        "allowed_dirs": [str(world.cloud)],
    }
    never = world.transfer("localhost", **task)
    (world.cloud / "saved").mkdir()
    (world.cloud / "saved/disk.3").touch()
    again = world.transfer("localhost", **task)
    assert never.failed
    assert never.message == f"no such file: {world.cloud}/disk.3 on node1"
    assert (again.status, again.result["gone"]) == ("SUCCESS", True)


@pytest.mark.root
def test_same_place_under_two_names(world: World, tmp_path: Path) -> None:
    """One host under two names has one image, which is not copied onto itself."""
    alias = tmp_path / "alias.ini"
    alias.write_text(world.inventories[0].read_text().replace("node1 ", "also1 "))
    one_byte(world.path("node1", world.cloud / "disk.0"))
    done = world.with_inventory(alias).transfer(
        "node1",
        source_host="also1",
        source=str(world.cloud / "disk.0"),
        destination=str(world.cloud / "disk.0"),
        move=True,
        allowed_dirs=[str(world.cloud)],
    )
    assert (done.status, done.result["same"]) == ("SUCCESS", True)


@pytest.mark.root
def test_playbook_keeps_the_same_place(world: World, tmp_path: Path) -> None:
    """MV between two names of one host removes nothing: the source is the destination."""
    alias = tmp_path / "alias.ini"
    alias.write_text(world.inventories[0].read_text().replace("node1 ", "also1 "))
    image = world.path("node1", world.cloud / "disk.0")
    one_byte(image)
    variables = {
        "tm_host": "node1",
        "tm_source": f"also1:{world.cloud}/disk.0",
        "tm_destination": f"node1:{world.cloud}/disk.0",
        "tm_allowed_dirs": [str(world.cloud)],
    }
    inventories = ["-i", str(world.inventories[0]), "-i", str(alias)]
    playbook = [str(ROOT / "playbooks/ssh/mv.yml"), "-e", json.dumps(variables)]
    done = subprocess.run(
        ["ansible-playbook", *inventories, *playbook],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout
    assert image.read_bytes() == b"x"


@pytest.mark.root
def test_something_in_the_way(world: World) -> None:
    """A file does not take the place of a directory, nor a directory that of another."""
    one_byte(world.cloud / "file")
    (world.cloud / "tree").mkdir()
    there = world.path("node1", world.cloud / "disk.0")
    there.mkdir()
    (there / "precious").touch()
    for source in ("file", "tree"):
        done = world.transfer(
            "node1",
            source_host="localhost",
            source=str(world.cloud / source),
            destination=str(world.cloud / "disk.0"),
        )
        assert "in the way" in done.message
        assert (there / "precious").exists()


HOSTILE = [
    "a b'c\"d $(touch pwned) `touch pwned`; touch pwned #.img",
    "{{ 7 * 7 }} {% raw %} %s %(x)s",
    "-rf --help",
    "back\\slash\\n *?[a] !x ~",
    "r\u00e9\u202e\u65e5",
    "n" * 255,
]


@pytest.mark.root
@pytest.mark.parametrize("name", [HOSTILE[0], *in_full(*HOSTILE[1:])])
def test_hostile_names(world: World, name: str) -> None:
    """Whatever a name holds is part of the name, on both hosts."""
    one_byte(world.path("node1", world.cloud / name))
    done = world.transfer(
        "node2",
        source_host="node1",
        source=str(world.cloud / name),
        destination=str(world.cloud / "d" / name),
    )
    assert done.status == "CHANGED", done.output
    assert [path.name for path in world.path("node2", world.cloud / "d").iterdir()] == [name]


@pytest.mark.root
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "/etc/hostname"}, "refused the"),
        ({"destination": "/etc/tm-transfer-test"}, "refused the destination"),
        ({"destination": "CLOUD/../../x"}, "part '..'"),
        *in_full(({"destination": ""}, "empty"), ({"source": "CLOUD/\n"}, "control characters")),
        ({"move": False, "source_dirs": ["CLOUD/images"]}, "source_dirs"),
    ],
)
def test_refused(world: World, change: dict[str, Any], words: str) -> None:
    """What the settings do not allow is refused on its own host, and nothing is made."""
    one_byte(world.path("node1", world.cloud / "disk.0"))
    task: dict[str, Any] = {
        "source_host": "node1",
        "source": "CLOUD/disk.0",
        "destination": "CLOUD/disk.1",
        "move": True,
        "allowed_dirs": ["CLOUD"],
    }
    filled = json.loads(json.dumps({**task, **change}).replace("CLOUD", str(world.cloud)))
    done = world.transfer("node2", **filled)
    assert done.failed, done.output
    assert words in done.message
    assert list(world.nodes["node2"].private.iterdir()) == []


@pytest.mark.root
def test_link_out_of_the_allowed_directory(world: World) -> None:
    """A link in the path does not lead a move out of the allowed directories."""
    one_byte(world.cloud / "disk.0")
    world.path("node1", world.cloud / "out").symlink_to("/etc")
    done = world.transfer(
        "node1",
        source_host="localhost",
        source=str(world.cloud / "disk.0"),
        destination=str(world.cloud / "out/tm-transfer-test"),
        move=True,
        allowed_dirs=[str(world.cloud)],
    )
    assert "not below an allowed directory" in done.message
    assert not Path("/etc/tm-transfer-test").exists()
    world.path("node1", world.cloud / "out").unlink()


@contextmanager
def under_way(world: World, host: str, **arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a transfer and give it once its first data are on the destination's disk."""
    process = subprocess.Popen(
        world.command(host, arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    top, end = world.path(host, world.cloud), time.monotonic() + 30
    while not any(ours(found.name) and has_data(found) for found in top.rglob("*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def has_data(path: Path) -> bool:
    """Tell whether a file has data on the disk; one that vanishes meanwhile has none."""
    with suppress(FileNotFoundError):
        return path.stat().st_blocks > 0
    return False


def big_task(world: World) -> dict[str, Any]:
    """Make a big image on node1 and give the task that copies it slowly to node2."""
    big(world.path("node1", world.cloud / "base.img"))
    return {**big_paths(world), "bandwidth_mib": SLOW_MIB}


def big_paths(world: World) -> dict[str, Any]:
    """Give the task that copies an image from node1 to node2."""
    return {
        "source_host": "node1",
        "source": str(world.cloud / "base.img"),
        "destination": str(world.cloud / "disk.0"),
    }


@pytest.mark.root
@pytest.mark.parametrize("victim", ["node1", pytest.param("node2", marks=pytest.mark.long)])
def test_connection_lost(world: World, victim: str) -> None:
    """A connection that ends in mid-copy is a failure that names it; nothing useless is left."""
    task = big_task(world)
    with under_way(world, "node2", **task) as process:
        world.nodes[victim].kill_connections()
        done = outcome(*process.communicate(timeout=30))
    assert done.failed
    assert done.message.startswith(f"the connection to {victim} was lost "), done.output
    assert "before anything" not in done.message
    wait_for(lambda: world.nothing_useless_is_left("node2"))
    assert not world.path("node2", world.cloud / "disk.0").exists()
    again = world.transfer("node2", **big_paths(world))
    assert again.status == "CHANGED", again.output
    images = [world.path("node1", world.cloud / "base.img")]
    images.append(world.path("node2", world.cloud / "disk.0"))
    assert digest(images[0]) == digest(images[1])


@pytest.mark.root
@pytest.mark.parametrize("victim", [pytest.param("node1", marks=pytest.mark.long), "node2"])
def test_goes_on_after_a_lost_connection(world: World, victim: str) -> None:
    """What was proven before a connection ended is not sent again, and the log tells it."""
    source = world.path("node1", world.cloud / "base.img")
    source.write_bytes(BLOCK * 192)
    task = {**big_paths(world), "bandwidth_mib": 60}
    with under_way(world, "node2", **task) as process:
        there = world.path("node2", world.cloud)
        wait_for(lambda: any(path.suffix == ".proven" for path in there.iterdir()), 30)
        world.nodes[victim].kill_connections()
        assert outcome(*process.communicate(timeout=30)).failed
    wait_for(lambda: not any(far_programs(host) for host in world.nodes.values()))
    again = world.transfer("node2", **task)
    assert again.status == "CHANGED", again.output
    assert again.result["resumed"] >= 64 * MIB
    assert again.result["bytes"] + again.result["resumed"] == 192 * MIB
    assert ", resumed at " in again.result["tm_log"][0]
    assert digest(source) == digest(world.path("node2", world.cloud / "disk.0"))
    assert world.nothing_is_left("node2")


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.root
def test_controller_killed(world: World) -> None:
    """Both far programs end within five seconds after the controller, and leave nothing useless."""
    with under_way(world, "node2", **big_task(world)) as process:
        for pid in family(process.pid):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(far_programs(host) for host in world.nodes.values()))
    assert world.nothing_useless_is_left("node2")
    assert not world.path("node2", world.cloud / "disk.0").exists()


def family(pid: int) -> list[int]:
    """Give an ansible and its workers, but not the ssh clients that they started."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, check=True)
    rows = [line.split(None, 2) for line in listing.stdout.decode().splitlines()]
    found = [pid]
    for own, parent, name in rows:
        if int(parent) in found and name.startswith(("ansible", "python")):
            found.append(int(own))
    return found


def far_programs(host: SshHost) -> list[int]:
    """Give the senders and receivers that run on a host."""
    found = []
    for pid in host.descendants():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"zlib.decompress" in words:
            found.append(pid)
    return found


@pytest.mark.root
def test_source_changes(world: World) -> None:
    """A source that is written to while it is copied is a failure, and nothing is published."""
    task = big_task(world)
    with under_way(world, "node2", **task) as process:
        with world.path("node1", world.cloud / "base.img").open("r+b") as file:
            file.write(b"other")
        done = outcome(*process.communicate(timeout=60))
    assert done.failed
    assert "changed while it was copied" in done.message
    assert done.message.endswith(" on node1")
    assert list(world.nodes["node2"].private.iterdir()) == []


@pytest.mark.root
def test_destination_full(world: World) -> None:
    """Too little room is found before anything is sent, and the reason has both numbers."""
    node = world.nodes["node1"]
    small = world.cloud / "small"
    world.path("node1", small).mkdir()
    node.run("mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small))
    try:
        dense(world.cloud / "base.img")
        done = world.transfer(
            "node1",
            source_host="localhost",
            source=str(world.cloud / "base.img"),
            destination=str(small / "disk.0"),
        )
        assert done.failed
        assert "3.0 MiB" in done.message
        assert "2.0 MiB" in done.message
        assert done.message.endswith(" on node1")
        assert node.run("ls", "-A", str(small)).stdout == ""
    finally:
        node.run("umount", str(small))


@pytest.mark.root
@pytest.mark.parametrize("role", ["source", *in_full("destination")])
def test_unreachable(world: World, tmp_path: Path, role: str) -> None:
    """A host that is not there is named; the play's own is unreachable as Ansible has it."""
    gone = tmp_path / "gone.ini"
    gone.write_text("gone ansible_host=127.0.0.9 ansible_port=1\n")
    one_byte(world.path("node1", world.cloud / "disk.0"))
    hosts = ("gone", "node1") if role == "source" else ("node1", "gone")
    done = world.with_inventory(gone).transfer(
        hosts[1],
        source_host=hosts[0],
        source=str(world.cloud / "disk.0"),
        destination=str(world.cloud / "disk.1"),
    )
    assert "Connection refused" in done.message
    if role == "source":
        assert done.failed
        assert done.message.startswith("gone is unreachable: ")
    else:
        assert done.status.startswith("UNREACHABLE")


@pytest.mark.root
def test_wrong_host_key(world: World, tmp_path: Path, control_path_dir: Path) -> None:
    """A host with another key than known is refused."""
    node = world.nodes["node1"]
    other = world.nodes["node2"].known_hosts.read_text().split(None, 1)[1]
    known = tmp_path / "known_hosts"
    known.write_text(f"[{node.address}]:{node.port} {other}")
    line = world.inventories[0].read_text().replace("node1 ", "liar ")
    lines = line.replace(str(node.known_hosts), str(known))
    lines = lines.replace(str(control_path_dir), str(tmp_path / "cp"))
    (tmp_path / "liar.ini").write_text(lines)
    one_byte(world.cloud / "base.img")
    done = world.with_inventory(tmp_path / "liar.ini").transfer(
        "liar",
        source_host="localhost",
        source=str(world.cloud / "base.img"),
        destination=str(world.cloud / "disk.0"),
    )
    assert done.status.startswith("UNREACHABLE")
    assert "Host key verification failed" in done.message
    assert list(node.private.iterdir()) == []


@pytest.mark.root
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ansible_python_interpreter": "/nowhere/python3"}, "/nowhere/python3 is not on node2"),
        ({"ansible_become": "true", "ansible_become_password": "x"}, "sudo on node2 needs a pass"),
        ({"ansible_connection": "winrm"}, "use ssh or local"),
    ],
)
def test_source_host_cannot(
    world: World, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    """What a host lacks for a transfer is named, with its remedy."""
    more = tmp_path / "more.ini"
    settings = " ".join(f"{key}={value}" for key, value in variables.items())
    more.write_text(f"node2 {settings}\n")
    done = world.with_inventory(more).transfer(
        "node1", source_host="node2", source="/etc/hostname", destination=f"{world.cloud}/x"
    )
    assert done.failed, done.output
    assert words in done.message


@pytest.mark.root
@pytest.mark.parametrize("method", ["sudo", "su"])
def test_become(world: World, tmp_path: Path, method: str) -> None:
    """Privilege escalation without a password works on both sides, whatever it prints."""
    if shutil.which(method) is None:
        pytest.skip(f"the program {method} is not installed")
    more = tmp_path / "more.ini"
    more.write_text(f"[nodes:vars]\nansible_become=true\nansible_become_method={method}\n")
    dense(world.path("node1", world.cloud / "disk.0"))
    done = world.with_inventory(more).transfer(
        "node2",
        source_host="node1",
        source=str(world.cloud / "disk.0"),
        destination=str(world.cloud / "disk.0"),
    )
    assert done.status == "CHANGED", done.output


@pytest.mark.root
def test_noisy_login_scripts(world: World) -> None:
    """What a login script prints is no part of the image."""
    command = 'command="echo Welcome; printf no-newline; eval \\"$SSH_ORIGINAL_COMMAND\\"" '
    dense(world.path("node1", world.cloud / "disk.0"))
    keys = [host.directory / "authorized_keys" for host in world.nodes.values()]
    try:
        for path in keys:
            path.write_text(command + path.read_text())
        for host in world.nodes.values():
            host.kill_connections()
        done = world.transfer(
            "node2",
            source_host="node1",
            source=str(world.cloud / "disk.0"),
            destination=str(world.cloud / "disk.0"),
        )
        assert done.status == "CHANGED", done.output
    finally:
        for path in keys:
            path.write_text(path.read_text().replace(command, ""))
        for host in world.nodes.values():
            host.kill_connections()


@pytest.mark.root
def test_host_in_no_inventory(world: World) -> None:
    """A source host that nobody knows is named."""
    done = world.transfer("node1", source_host="node9", source="/x", destination="/y")
    assert done.message == "node9 is in no inventory; add it there"


def test_local_to_local(tmp_path: Path) -> None:
    """Two inventory names with the connection local need no ssh and no root."""
    hosts = tmp_path / "hosts.ini"
    hosts.write_text(LOCALHOST + "box ansible_connection=local\n")
    directory(tmp_path / "from")
    done = World(tmp_path, {}, (hosts,)).transfer(
        "box",
        source_host="localhost",
        source=str(tmp_path / "from"),
        destination=str(tmp_path / "to"),
        mode="",
    )
    assert done.status == "CHANGED", done.output
    assert digest(tmp_path / "to") == digest(tmp_path / "from")
    assert (tmp_path / "to/sub").stat().st_mode == (tmp_path / "from/sub").stat().st_mode


def test_two_at_once_for_one_destination(tmp_path: Path) -> None:
    """Of two transfers to one destination one succeeds, and the other says why it did not."""
    hosts = tmp_path / "hosts.ini"
    hosts.write_text(LOCALHOST + "box ansible_connection=local\n")
    big(tmp_path / "base.img")
    task = {
        "source_host": "localhost",
        "source": str(tmp_path / "base.img"),
        "destination": str(tmp_path / "disk.0"),
        "bandwidth_mib": SLOW_MIB,
    }
    world = World(tmp_path, {"box": _Here()}, (hosts,))  # type: ignore[dict-item]
    results: list[Outcome] = []
    with under_way(world, "box", **task) as process:
        second = threading.Thread(target=lambda: results.append(world.transfer("box", **task)))
        second.start()
        first = outcome(*process.communicate(timeout=60))
        second.join()
    assert first.status == "CHANGED", first.output
    assert results[0].failed or results[0].result["complete"], results[0].output


class _Here:
    """A host that is this machine."""

    def path(self, path: Path) -> Path:
        """Give the same path."""
        return path
