"""The way between two hosts: straight, through the front-end, or within one host."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import COMMAND, environment_of
from tests.support.forms import in_full
from tests.support.hosts import SshHost, close_masters, make_key, missing_for_hosts, write_inventory

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
BLOCK = os.urandom(MIB)


@dataclass(frozen=True, slots=True)
class Pair:
    """Hosts a and b, of which a has a key for b and knows b's, and b has nothing; c only knows b's.

    Attributes:
        cloud: a path that each has for itself.
        hosts: by name.
        control_path_dir: where ssh's sockets are.
    """

    cloud: Path
    hosts: dict[str, SshHost]
    control_path_dir: Path

    def command(self, host: str, *options: str, **task: Any) -> list[str]:
        """Give the command that runs one transfer."""
        inventory = write_inventory(
            self.cloud.parent / "inventory.ini", self.hosts.values(), self.control_path_dir
        )
        arguments = json.dumps(task)
        words = ["ansible", "-v", "-i", str(inventory), host, "-m", "one.tm.transfer"]
        return [*words, "-a", arguments, *options]

    def transfer(
        self, origin: str, host: str, *options: str, agent: str = "", **task: Any
    ) -> "Done":
        """Copy an image from one to the other."""
        names = {"source_host": origin, "destination": str(self.cloud / "to/disk.0")}
        allowed = {"allowed_dirs": [str(self.cloud)]}
        task = {**names, **allowed, "source": str(self.cloud / "base.img"), **task}
        done = subprocess.run(
            self.command(host, *options, **task),
            capture_output=True,
            check=False,
            text=True,
            env={**environment(), "SSH_AUTH_SOCK": agent},
            timeout=120,
        )
        head, _arrow, body = done.stdout.rpartition(" => ")
        result = json.loads(body) if body else {}
        return Done(head, result, done.stdout + done.stderr)

    def image(self, host: str, mebibytes: int = 3) -> Path:
        """Make an image on a host."""
        path = self.hosts[host].path(self.cloud / "base.img")
        with path.open("wb") as file:
            for _ in range(mebibytes):
                file.write(BLOCK)
        return path

    def copy(self, host: str) -> Path:
        """Find the copy on a host."""
        return self.hosts[host].path(self.cloud / "to/disk.0")


@dataclass(frozen=True, slots=True)
class Done:
    """What ansible printed: before the result, the result, and all."""

    head: str
    result: dict[str, Any]
    output: str

    @property
    def message(self) -> str:
        """The reason of a failure."""
        return str(self.result.get("msg"))


def environment() -> dict[str, str]:
    """Give the environment of an ansible that finds the collection in this checkout."""
    own = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "LC_ALL": "C.UTF-8"}
    more = {"ANSIBLE_DEPRECATION_WARNINGS": "0", "ANSIBLE_TIMEOUT": "5", "ANSIBLE_NOCOLOR": "1"}
    return {**os.environ, **own, **more}


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    """Give the two hosts; each has an ssh configuration of its own."""
    reason = missing_for_hosts()
    if reason:
        pytest.skip(reason)
    # Not pytest's own place, into which no other user may look.
    base = Path(tempfile.mkdtemp(prefix="tm-routes"))
    base.chmod(0o755)
    cloud, key = base / "cloud", base / "key"
    make_key(key)
    control_path_dir = Path(tempfile.mkdtemp(prefix="tmcp"))
    known = f"Host *\n GlobalKnownHostsFile /dev/null\n UserKnownHostsFile {base}/b/known_hosts\n"
    configs = {
        "a": f"{known} IdentityFile {key}\n",
        "b": known.replace("/b/", "/none/"),
        "c": known,
    }
    hosts = {
        name: SshHost(name, f"127.0.1.{number}", base / name, cloud, key, client_config=config)
        for number, (name, config) in enumerate(configs.items(), 1)
    }
    try:
        for host in hosts.values():
            host.start()
        yield Pair(cloud, hosts, control_path_dir)
    finally:
        close_masters(control_path_dir)
        shutil.rmtree(control_path_dir, ignore_errors=True)
        for host in hosts.values():
            host.stop()
        shutil.rmtree(base)


@pytest.fixture
def pair(running: Pair) -> Iterator[Pair]:
    """Give the hosts without files and with the variables that they always have."""
    yield running
    for host in running.hosts.values():
        host.variables.clear()
        for entry in host.private.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.mark.root
def test_the_straight_way(pair: Pair) -> None:
    """Where a reaches b, a's program starts ssh to b, and the log says so."""
    original = pair.image("a", 16)
    done = pair.transfer("a", "b")
    assert done.result["changed"], done.output
    assert "tm_log: going straight from a to b" in done.head
    assert pair.copy("b").read_bytes() == original.read_bytes()
    assert relayed_bytes(pair) < 8 * MIB
    again = pair.transfer("a", "b")
    assert again.result["complete"], again.output


def relayed_bytes(pair: Pair) -> int:
    """Give how many bytes the front-end's ssh connections have written, as the kernel says."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes()
        if str(pair.control_path_dir).encode() in words and b"[mux]" in words:
            lines = (path.parent / "io").read_text().splitlines()
            total += int(next(line.split()[1] for line in lines if line.startswith("wchar")))
    assert total, "no connection is there to be measured"
    return total


@pytest.mark.root
def test_the_way_through_the_front_end(pair: Pair) -> None:
    """Where b does not know a's key, the copy goes through here, and the log says why."""
    original = pair.image("b", 16)
    done = pair.transfer("b", "a")
    assert done.result["changed"], done.output
    assert "tm_log: going through the front-end: b cannot reach a: Host key verif" in done.head
    assert pair.copy("a").read_bytes() == original.read_bytes()
    assert relayed_bytes(pair) > 16 * MIB


@pytest.mark.root
@pytest.mark.long
def test_the_straight_way_with_a_forwarded_agent(pair: Pair) -> None:
    """A host without a key of its own reaches the other by an agent that is forwarded to it."""
    original = pair.image("c")
    refused = pair.transfer("c", "b", route="direct")
    assert "c cannot reach b: root@127.0.1.2: Permission denied" in refused.message
    pair.hosts["c"].variables["ansible_ssh_extra_args"] = "-o ForwardAgent=yes"
    with agent(pair.hosts["c"].user_key) as socket:
        done = pair.transfer("c", "b", route="direct", agent=socket)
    assert done.result.get("changed"), done.output
    assert pair.copy("b").read_bytes() == original.read_bytes()


@contextmanager
def agent(key: Path) -> Iterator[str]:
    """Give the socket of an agent that has a key."""
    with tempfile.TemporaryDirectory(prefix="tmag") as directory:
        socket = f"{directory}/socket"
        with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as it:
            wait_for(lambda: Path(socket).exists())
            variables = {**os.environ, "SSH_AUTH_SOCK": socket}
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env=variables)
            yield socket
            it.terminate()


@pytest.mark.root
def test_only_the_straight_way(pair: Pair) -> None:
    """With route direct nothing goes through here: the reason and the setting are told."""
    pair.image("b")
    done = pair.transfer("b", "a", route="direct")
    assert done.message.startswith("b cannot reach a: Host key verification failed; mend that")
    assert "copies.route" in done.message
    assert not pair.copy("a").exists()


@pytest.mark.root
def test_never_the_straight_way(pair: Pair) -> None:
    """With route front_end nobody tries."""
    original = pair.image("a")
    done = pair.transfer("a", "b", route="front_end")
    assert "tm_log: going through the front-end (setting copies.route)" in done.head
    assert pair.copy("b").read_bytes() == original.read_bytes()


@pytest.mark.root
def test_a_port_where_nobody_listens(pair: Pair) -> None:
    """An address that a cannot reach is no failure, and is told."""
    original = pair.image("a")
    pair.hosts["b"].variables["tm_direct_address"] = "127.0.1.77"
    done = pair.transfer("a", "b")
    assert "going through the front-end: a cannot reach b: ssh: connect to host" in done.head
    assert pair.copy("b").read_bytes() == original.read_bytes()


@pytest.mark.root
def test_another_host_under_the_address(pair: Pair) -> None:
    """What answers under the address and is not the destination gets nothing."""
    original = pair.image("a")
    pair.hosts["a"].variables["ansible_port"] = str(pair.hosts["a"].port)
    forward = TcpForward("127.0.1.9", pair.hosts["b"].port, pair.hosts["a"])
    known = pair.hosts["b"].known_hosts
    text = known.read_text()
    key = (pair.hosts["a"].directory / "host_key.pub").read_text()
    with forward:
        known.write_text(text + f"[127.0.1.9]:{pair.hosts['b'].port} {key}")
        pair.hosts["b"].variables["tm_direct_address"] = "127.0.1.9"
        done = pair.transfer("a", "b")
    known.write_text(text)
    assert "what a reaches as b is another host; set tm_direct_address" in done.head, done.output
    assert pair.copy("b").read_bytes() == original.read_bytes()
    assert not pair.copy("a").exists()


class TcpForward:
    """A port of another address that leads to a host."""

    def __init__(self, address: str, port: int, host: SshHost) -> None:
        """Prepare."""
        code = (
            "import socket, sys, threading\n"
            "def pump(a, b):\n"
            "    try:\n"
            "        while data := a.recv(65536): b.sendall(data)\n"
            "        b.shutdown(socket.SHUT_WR)\n"
            "    except OSError: pass\n"
            "server = socket.create_server((sys.argv[1], int(sys.argv[2])))\n"
            "print('ready', flush=True)\n"
            "while True:\n"
            "    one, _ = server.accept()\n"
            "    two = socket.create_connection((sys.argv[3], int(sys.argv[4])))\n"
            "    for pair in ((one, two), (two, one)):\n"
            "        threading.Thread(target=pump, args=pair, daemon=True).start()\n"
        )
        words = [address, str(port), host.address, str(host.port)]
        self._command = ["python3", "-c", code, *words]

    def __enter__(self) -> None:
        """Begin to listen."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"

    def __exit__(self, *_error: object) -> None:
        """End."""
        self._process.kill()
        self._process.communicate()


@pytest.mark.root
def test_become_on_the_destination(pair: Pair) -> None:
    """The program on b runs as the user that b's become makes it."""
    if shutil.which("su") is None:
        pytest.skip("become needs the program su")
    pair.image("a")
    target = pair.hosts["b"].private / "to"
    target.mkdir()
    user = pwd.getpwnam("bin").pw_uid
    os.chown(target, user, user)
    pair.hosts["b"].variables.update(
        ansible_become="true",
        ansible_become_method="su",
        ansible_become_user="bin",
        ansible_become_flags="-s /bin/sh",
    )
    done = pair.transfer("a", "b")
    assert done.result.get("changed"), done.output
    assert "going straight from a to b" in done.head
    assert pair.copy("b").stat().st_uid == user


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tm_direct_address", "-oProxyCommand=touch /tmp/x"),
        *in_full(
            ("tm_direct_address", "b -oProxyCommand=true"), ("ansible_user", "-oProxyCommand=true")
        ),
    ],
)
def test_names_are_no_options(pair: Pair, name: str, value: str) -> None:
    """An address or user that ssh could take for an option is refused by name."""
    pair.image("a")
    pair.hosts["b"].variables[name] = value
    done = pair.transfer("a", "b", route="direct")
    assert not done.result.get("changed"), done.output
    if name != "ansible_user":
        assert "is no address or user that ssh takes; mend the variables of b" in done.message
    assert not pair.copy("b").exists()


@pytest.mark.root
@pytest.mark.parametrize("victim", ["a", "b", "controller"])
def test_all_three_end_together(pair: Pair, victim: str) -> None:
    """Whoever goes takes the others along, and there is no image."""
    pair.image("a", 80)
    task = {
        "source_host": "a",
        "source": str(pair.cloud / "base.img"),
        "destination": str(pair.cloud / "to/disk.0"),
        "allowed_dirs": [str(pair.cloud)],
        "source_bandwidth_mib": 20,
    }
    command = pair.command("b", **task)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: any(size(path) for path in parts(pair)))
        if victim == "controller":
            for pid in family(process.pid):
                os.kill(pid, signal.SIGKILL)
        else:
            pair.hosts[victim].kill_connections()
        output, _ = process.communicate(timeout=60)
    assert "CHANGED" not in output
    wait_for(lambda: not any(programs(host) for host in pair.hosts.values()), 20)
    assert not pair.copy("b").exists()
    if victim != "controller":
        assert "was lost" in output


@pytest.mark.root
def test_a_cancel_leaves_nothing(pair: Pair) -> None:
    """A copy on the straight way that is cancelled once a part of it is proven leaves no part."""
    pair.image("a", 160)
    inventory = write_inventory(
        pair.cloud.parent / "inventory.ini", pair.hosts.values(), pair.control_path_dir
    )
    limit = pair.cloud.parent / "limit.ini"
    limit.write_text("a tm_bandwidth_mib=40\n")
    action = (
        "CLONE",
        f"a:{pair.cloud}/base.img",
        f"b:{pair.cloud}/var/to/disk.0",
        "--model",
        "ssh",
    )
    options = ("-i", str(inventory), "-i", str(limit))
    with subprocess.Popen(
        [*COMMAND, "run", *action, *options],
        env=environment_of(pair.cloud),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        place = pair.hosts["b"].private / "var/to"
        wait_for(lambda: list(place.glob(".tm-*.proven")))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert "going straight from a to b" in output
    wait_for(lambda: not any(programs(host) for host in pair.hosts.values()), 5)
    assert list(place.iterdir()) == []


@pytest.mark.root
def test_a_closed_way_is_not_tried_again(pair: Pair) -> None:
    """The next copy within minutes goes through the front-end at once, and says why and since when.

    With the route direct it is tried, and so it is once the way is another one.
    """
    pair.image("a")
    pair.hosts["b"].variables["tm_direct_address"] = "127.0.1.78"
    first = pair.transfer("a", "b")
    assert "going through the front-end: a cannot reach b: ssh: connect to host" in first.head
    assert "(tried" not in first.head
    pair.copy("b").unlink()
    again = pair.transfer("a", "b")
    assert re.search(r"front-end: a cannot reach b: ssh: .* \(tried \d+ s ago\)", again.head)
    assert pair.copy("b").exists()
    assert "mend that" in pair.transfer("a", "b", route="direct", destination="/tm-none").message
    del pair.hosts["b"].variables["tm_direct_address"]
    pair.copy("b").unlink()
    assert "going straight from a to b" in pair.transfer("a", "b").head


def parts(pair: Pair) -> Sequence[Path]:
    """Find the temporary files on b."""
    return list((pair.hosts["b"].private / "to").glob(".tm-*.part"))


def size(path: Path) -> int:
    """Give a file's size; nothing for one that is gone."""
    try:
        return path.stat().st_blocks
    except FileNotFoundError:
        return 0


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def family(pid: int) -> list[int]:
    """Give an ansible and its workers, but not the ssh clients that they started."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, check=True)
    found = [pid]
    for line in listing.stdout.decode().splitlines():
        own, parent, name = line.split(None, 2)
        if int(parent) in found and name.startswith(("ansible", "python")):
            found.append(int(own))
    return found


def programs(host: SshHost) -> list[int]:
    """Give our programs that run on a host."""
    found = []
    for pid in host.descendants():
        words = Path(f"/proc/{pid}/cmdline")
        if words.exists() and b"zlib.decompress" in words.read_bytes():
            found.append(pid)
    return found


@pytest.fixture
def twin(pair: Pair) -> Iterator[Pair]:
    """Give the hosts, and a under a second name."""
    a = pair.hosts["a"]
    second = SshHost("alias", a.address, a.directory, a.cloud, a.user_key, port=a.port)
    pair.hosts["alias"] = second
    yield pair
    del pair.hosts["alias"]


@pytest.mark.root
@pytest.mark.parametrize("route", ["auto", *in_full("direct", "front_end")])
def test_a_move_within_a_host_of_two_names_is_a_rename(twin: Pair, route: str) -> None:
    """A sparse directory of 1 GiB keeps its inodes, whatever the route, and the log says why."""
    images = twin.hosts["a"].private / "from/images"
    images.mkdir(parents=True)
    os.truncate(os.open(images / "disk.0", os.O_CREAT | os.O_WRONLY), 1 << 30)
    before = [images.stat().st_ino, (images / "disk.0").stat().st_ino]
    done = twin.transfer(
        "a",
        "alias",
        source=str(twin.cloud / "from/images"),
        destination=str(twin.cloud / "to/images"),
        into=True,
        move=True,
        allowed_dirs=[str(twin.cloud)],
        route=route,
    )
    assert done.result["changed"], done.output
    assert done.result["local"]
    assert "tm_log: a and alias are one host" in done.head
    moved = twin.hosts["a"].private / "to/images"
    assert [moved.stat().st_ino, (moved / "disk.0").stat().st_ino] == before
    assert not images.exists()


@pytest.mark.root
def test_a_clone_within_a_host_of_two_names_stays_there(twin: Pair) -> None:
    """It is the host's own copy, with the mode that was asked for."""
    original = twin.image("a")
    done = twin.transfer("a", "alias", directories=False, mode="0640")
    assert done.result["changed"], done.output
    assert done.result["local"]
    assert done.result["tm_log"][0].startswith("copied base.img to disk.0, 3.0 MiB")
    assert twin.copy("a").read_bytes() == original.read_bytes()
    assert twin.copy("a").stat().st_mode & 0o777 == 0o640
    assert not twin.transfer("a", "alias", directories=False, mode="0640").result["changed"]


@pytest.mark.root
def test_ciphers_of_a_host_are_those_of_its_connection(pair: Pair) -> None:
    """What tm_ciphers names is what ssh is asked for; a step and a copy share the connection."""
    pair.image("a")
    pair.hosts["b"].variables["tm_ciphers"] = "['aes256-ctr']"
    done = pair.transfer("a", "b")
    assert done.result["changed"], done.output
    sockets = set(pair.control_path_dir.iterdir())
    inventory = str(pair.cloud.parent / "inventory.ini")
    where = {"destination": str(pair.cloud / "swap"), "allowed_dirs": [str(pair.cloud)]}
    task = json.dumps({**where, "size_mib": 1})
    subprocess.run(
        ["ansible", "-i", inventory, "b", "-m", "one.tm.mkswap", "-a", task],
        check=True,
        capture_output=True,
        env={**environment(), "SSH_AUTH_SOCK": ""},
    )
    assert set(pair.control_path_dir.iterdir()) == sockets
    pair.hosts["b"].variables["tm_ciphers"] = "['no-such-cipher']"
    assert "no-such-cipher" in pair.transfer("a", "b").output


@pytest.mark.root
@pytest.mark.parametrize("value", ["['-oProxyCommand=true']", *in_full("['a,b c']", "{'a': 1}")])
def test_ciphers_are_names(pair: Pair, value: str) -> None:
    """What is no name of a cipher does not reach ssh."""
    pair.image("a")
    pair.hosts["b"].variables["tm_ciphers"] = value
    done = pair.transfer("a", "b")
    assert "tm_ciphers of b: " in done.message
    assert "is no cipher; 'ssh -Q cipher' tells their names" in done.message
