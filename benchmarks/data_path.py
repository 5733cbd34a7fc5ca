"""Image copies to a host by ssh: ours beside scp, tar and cat, in one run.

    python -m benchmarks.data_path [--size-mib 1024] [--repeat 3] [CASE ...]

Needs root: the host is an sshd of its own on 127.0.0.2, as in the tests. Every copy is flushed to
disk, and every one is compared with its source. Ours is a whole ``tm-ansible run``; the time of
the copying task alone, as the VM's log has it, stands beside it. The output is a table in Markdown.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.hosts import SshHost, close_masters, make_key, missing_for_hosts, write_inventory

MIB = 1024 * 1024
ROOT = Path(__file__).resolve().parents[1]
FAST_CIPHER = "aes128-gcm@openssh.com"


@dataclass(frozen=True, slots=True)
class World:
    """A host, and what is needed to reach it by hand and by Ansible.

    Attributes:
        host: the far side.
        source: directory of sources on this machine.
        target: directory of copies, as the host sees it.
        inventory: for Ansible.
        ssh: words of an ssh command up to the host.
    """

    host: SshHost
    source: Path
    target: Path
    inventory: Path
    ssh: tuple[str, ...]


def main() -> None:
    """Measure and print."""
    arguments = _parse()
    if reason := missing_for_hosts():
        sys.exit(reason)
    rows = []
    with make_world() as world:
        for name in arguments.cases or CASES:
            maker, tools = CASES[name]
            maker(world.source / name, arguments.size_mib)
            rows.append((name, measure(world, name, tools, arguments.repeat)))
            _remove(world.source / name)
    print_table(rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--size-mib", type=int, default=1024, help="of the dense image")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each tool")
    return parser.parse_args()


@contextmanager
def make_world() -> Iterator[World]:
    """Give a running host; it ends with the block."""
    directory = Path(tempfile.mkdtemp(prefix="tmbench"))
    control = directory / "cp"
    control.mkdir()
    key = directory / "user_key"
    make_key(key)
    # Below ``var``, where MV is allowed to act.
    var = directory / "var"
    host = SshHost("node1", "127.0.0.2", directory / "node1", var / "cloud", key)
    try:
        host.start()
        inventory = write_inventory(directory / "inventory.ini", [host], control)
        (var / "source").mkdir(parents=True)
        options = ("-i", str(key), "-p", str(host.port), "-o", "IdentitiesOnly=yes")
        known = ("-o", f"UserKnownHostsFile={host.known_hosts}")
        ssh = ("ssh", *options, *known, "root@127.0.0.2")
        yield World(host, var / "source", var / "cloud", inventory, ssh)
    finally:
        close_masters(control)
        host.stop()
        shutil.rmtree(directory)


def make_sparse(path: Path, size_mib: int) -> None:
    """Make an image of four times the size, a sixteenth of it data in 16 places."""
    with path.open("wb") as file:
        file.truncate(4 * size_mib * MIB)
        for number in range(16):
            file.seek(number * size_mib * MIB // 4)
            file.write(os.urandom(size_mib * MIB // 64))


def make_zero(path: Path, size_mib: int) -> None:
    """Make an image of four times the size that is allocated and zero."""
    with path.open("wb") as file:
        for _ in range(4 * size_mib):
            file.write(bytes(MIB))


def make_dense(path: Path, size_mib: int) -> None:
    """Make an image of random bytes."""
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))


def make_directory(path: Path, size_mib: int) -> None:
    """Make a VM's directory: four images, a link, fifty small files."""
    path.mkdir()
    for number in range(4):
        make_dense(path / f"disk.{number}", size_mib // 16)
    (path / "disk.4").symlink_to("/srv/images/base.img")
    for number in range(50):
        (path / f"small.{number}").write_bytes(os.urandom(1000))


Tool = Callable[[World, str], float | None]


def ours(world: World, name: str) -> float | None:
    """Copy with ``tm-ansible run``; give the seconds of the copying task."""
    source, kept = world.source / name, world.source / f"{name}.kept"
    verb = "MV" if source.is_dir() else "CLONE"
    if verb == "MV":
        subprocess.run(["cp", "-al", str(source), str(kept)], check=True)
    command = [sys.executable, "-m", "tm_ansible.cli", "run", verb]
    places = [f"localhost:{source}", f"node1:{world.target / name}"]
    done = subprocess.run(
        [*command, *places, "--model", "ssh", "-i", str(world.inventory)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"ONE_LOCATION": str(world.source.parent.parent)},
    )
    took = re.search(r"copied .* in (?:(\d+) min )?([\d.]+) s", done.stdout)
    assert took, done.stdout
    if verb == "MV":
        kept.rename(source)
    return int(took[1] or 0) * 60 + float(took[2])


def _pipe(world: World, reader: list[str], writer: str, *options: str) -> None:
    with subprocess.Popen(reader, stdout=subprocess.PIPE, cwd=world.source) as source:
        command = [world.ssh[0], *options, *world.ssh[1:], f"{writer} && sync -f {world.target}"]
        subprocess.run(command, check=True, stdin=source.stdout)


def scp(world: World, name: str) -> None:
    """Copy with scp, flushed."""
    options = [word if word != "-p" else "-P" for word in world.ssh[1:-1]]
    target = f"{world.ssh[-1]}:{world.target}/"
    subprocess.run(["scp", "-q", "-r", *options, str(world.source / name), target], check=True)
    subprocess.run([*world.ssh, f"sync -f {world.target}"], check=True)


def tar(world: World, name: str) -> None:
    """Copy with ``tar -S`` by ssh, flushed."""
    _pipe(world, ["tar", "-cSf", "-", name], f"tar -xSf - -C {world.target}")


def cat(world: World, name: str) -> None:
    """Copy with cat by ssh and the fastest cipher, flushed."""
    _pipe(world, ["cat", name], f"cat > {world.target}/{name}", "-c", FAST_CIPHER)


CASES: dict[str, tuple[Callable[[Path, int], None], tuple[Tool, ...]]] = {
    "sparse": (make_sparse, (ours, scp, tar)),
    "zero": (make_zero, (ours, scp, tar)),
    "dense": (make_dense, (ours, scp, tar, cat)),
    "directory": (make_directory, (ours, tar)),  # scp follows links
}


def measure(
    world: World, name: str, tools: tuple[Tool, ...], repeat: int
) -> dict[str, tuple[float, float | None]]:
    """Time each tool in turn, several rounds.

    Returns:
        For each tool the median of whole seconds, and of those that it tells itself.
    """
    whole: dict[str, list[float]] = {tool.__name__: [] for tool in tools}
    told: dict[str, list[float]] = {tool.__name__: [] for tool in tools}
    for _ in range(repeat):
        for tool in tools:
            began = time.monotonic()
            seconds = tool(world, name)
            whole[tool.__name__].append(time.monotonic() - began)
            told[tool.__name__] += [seconds] if seconds is not None else []
            compare(world.source / name, world.host.path(world.target / name))
            _remove(world.host.path(world.target / name))
    return {
        tool: (statistics.median(times), statistics.median(told[tool]) if told[tool] else None)
        for tool, times in whole.items()
    }


def compare(source: Path, copy: Path) -> None:
    """Stop if a copy differs from its source."""
    subprocess.run(["diff", "-rq", "--no-dereference", str(source), str(copy)], check=True)


def print_table(rows: list[tuple[str, dict[str, tuple[float, float | None]]]]) -> None:
    """Print medians in seconds, and how many times faster than each tool ours is."""
    others = ("scp", "tar", "cat")
    heads = [*others, *(f"{tool} / copying" for tool in others)]
    print("|", " | ".join(["image", "ours, whole", "ours, copying", *heads]), "|")
    print("|---" * (3 + len(heads)) + "|")
    for name, times in rows:
        own, copying = times["ours"]
        cells = [name, f"{own:.1f} s", f"{copying:.1f} s"]
        cells += [f"{times[tool][0]:.1f} s" if tool in times else "" for tool in others]
        for tool in others:
            ratio = times[tool][0] / copying if tool in times and copying else None
            cells.append(f"{ratio:.2f}" if ratio else "")
        print("|", " | ".join(cells), "|")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
