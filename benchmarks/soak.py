"""Many transfers through one driver, some failing and some cancelled: what is left of them.

    python -m benchmarks.soak [--transfers 10000] [--at-once 500]

Each is CLONE, MKSWAP, LN and DELETE in the model nfs; of a hundred, five name an image that is not
there and five are cancelled at some moment. First so many at once, then the rest ten at a time. The
output is a table in Markdown: at each sample the time of a transfer since the last, and what the
driver and its server of warm workers hold. The exit status is 1 if more than 10 MB of memory or
anything else is left.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.world import machine, scratch
from tests.support.hosts import children_of
from tests.support.oned import as_oned
from tests.support.processes import alive, resident_mib
from tests.support.site import Site

SAMPLES = 10
LANES = 10
# Of a hundred.
FAILING = 5
CANCELLED = 5
MOST_MIB = 10
# Of what there may be no more behind all transfers than before.
COUNTS = ("descriptors", "sockets", "processes")
WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Held:
    """What driver and server hold.

    Attributes:
        driver_mib: resident memory.
        server_mib: resident memory.
        descriptors: open ones of both.
        sockets: of them.
        processes: children of both.
        zombies: of them.
        files: temporary directories of runs, and files of ours that are not done.
    """

    driver_mib: float
    server_mib: float
    descriptors: int
    sockets: int
    processes: int
    zombies: int
    files: int


class Client:
    """A driver, and how often each VM was answered."""

    def __init__(self, site: Site) -> None:
        """Start the driver, and wait until its runs start warm."""
        self.site = site
        self.replies: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
        name = f"tm_ansible_{site.model}"
        self._changed = threading.Condition()
        self._process = as_oned(
            [str(site.location / "lib" / "mads" / "one_tm_ansible")],
            f"{name}/{name}.conf",
            {"ONE_LOCATION": str(site.location), "PATH": "/usr/bin:/bin", **_python_path()},
            site.location,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.send("INIT")
        self.server()

    def send(self, line: str) -> None:
        """Write a line."""
        assert self._process.stdin
        os.write(self._process.stdin.fileno(), line.encode() + b"\n")

    def submit(self, vm_id: int, number: int, text: str) -> None:
        """Ask for a script."""
        path = self.site.vm_dir(vm_id) / f"transfer.{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.send(f"TRANSFER {vm_id} {path}")

    def answers(self, vm_id: int) -> int:
        """Tell how often a VM was answered."""
        return sum(replies[vm_id] for replies in self.replies.values())

    def wait(self, vm_id: int, count: int = 1) -> None:
        """Wait until a VM was answered so often."""
        with self._changed:
            enough = self._changed.wait_for(lambda: self.answers(vm_id) >= count, WAIT_SECONDS)
        assert enough, f"VM {vm_id} was not answered"

    def close(self) -> None:
        """End the driver."""
        self.send("FINALIZE")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()

    def server(self) -> int:
        """Wait until runs start warm, and give the process that sees to it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for pid in children_of(self._process.pid):
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text() == "tm-warm\n":
                        return pid
            time.sleep(0.05)
        raise AssertionError("no server of warm workers")

    def held(self) -> Held:
        """Look at what is held now."""
        driver, server = self._process.pid, self.server()
        links = [link for pid in (driver, server) for link in _descriptors(pid)]
        children = [child for pid in (driver, server) for child in children_of(pid)]
        journals = self.site.location.glob("var/.tm_ansible_nfs.*.journal")
        [token] = [path.name[1 : -len(".journal")] for path in journals]
        runs = list(Path(tempfile.gettempdir()).glob(f"tm_ansible.{token}.[0-9]*"))
        return Held(
            resident_mib(driver),
            resident_mib(server),
            len(links),
            sum(link.startswith("socket:") for link in links),
            len(children),
            sum(not alive(child) for child in children),
            len(runs) + len(list(self.site.location.glob("var/*/images/.tm-*"))),
        )

    def _read(self) -> None:
        assert self._process.stdout
        with suppress(OSError, ValueError):
            for line in iter(self._process.stdout.readline, b""):
                if match := re.match(rb"TRANSFER (SUCCESS|FAILURE) (\d+) ", line):
                    with self._changed:
                        self.replies[match[1] == b"SUCCESS"][int(match[2])] += 1
                        self._changed.notify_all()


def _python_path() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def _descriptors(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            yield str(path.readlink())


@contextmanager
def driven() -> Iterator[Client]:
    """Give a site's driver, ended after the block."""
    with scratch() as directory:
        site = Site(directory / "front-end", "nfs").install("engine: {warm: true}\n")
        (site.images / "a.img").write_bytes(os.urandom(64 * 1024))
        # Without it the driver has no journal, whose name tells which directories are of its runs.
        (site.location / "var").mkdir(exist_ok=True)
        client = Client(site)
        try:
            yield client
        finally:
            client.close()


def soak(client: Client, vm_ids: range, lanes: int) -> None:
    """Carry out a transfer for each VM, at most so many asked for at a time.

    Args:
        client: the driver.
        vm_ids: what becomes of each VM's transfer depends on its number alone.
        lanes: how many are asked for before one is waited for.
    """
    waiting: list[int] = []
    for vm_id in vm_ids:
        client.submit(vm_id, 0, _script(client.site, vm_id))
        waiting.append(vm_id)
        if is_cancelled(vm_id):
            time.sleep(random.Random(vm_id).random() / 4)  # noqa: S311 - a moment
            client.send(f"DRIVER_CANCEL {vm_id}")
            client.submit(vm_id, 1, f"DELETE fe:{client.site.vm_dir(vm_id)}/images\n")
        while len(waiting) >= lanes:
            _settle(client, waiting.pop(0))
    for vm_id in waiting:
        _settle(client, vm_id)


def is_failing(vm_id: int) -> bool:
    """Tell whether a VM's image is not there."""
    return vm_id % 100 < FAILING


def is_cancelled(vm_id: int) -> bool:
    """Tell whether a VM's transfer is cancelled."""
    return FAILING <= vm_id % 100 < FAILING + CANCELLED


def _script(site: Site, vm_id: int) -> str:
    image = "none.img" if is_failing(vm_id) else "a.img"
    source, images = f"fe:{site.images}/{image}", f"fe:{site.vm_dir(vm_id)}/images"
    disk = f"{images}/disk"
    made = f"CLONE {source} {disk}.0\nMKSWAP 1 {disk}.1\nLN {source} {disk}.2\n"
    return f"{made}DELETE {images}\n"


def _settle(client: Client, vm_id: int) -> None:
    """Wait for the answer; a cancelled transfer has none, or had it before; the next one has."""
    client.wait(vm_id)
    if is_cancelled(vm_id):
        # What answers last is the DELETE, whose answer proves that the slot is free.
        deadline = time.monotonic() + WAIT_SECONDS
        while (client.site.vm_dir(vm_id) / "images").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return
    assert client.replies[not is_failing(vm_id)][vm_id] == 1
    assert client.answers(vm_id) == 1


def main() -> int:
    """Run and print; tell whether something is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--transfers", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=500)
    arguments = parser.parse_args()
    with driven() as client:
        print("\n".join(machine()))
        print("\n| transfers | s each | driver | server | descriptors | of them sockets", end="")
        print(" | processes | zombies | files |\n|---|---|---|---|---|---|---|---|---|")
        soak(client, range(100), LANES)  # what is loaded once is loaded
        first = last = _sample(client, 100, 0.0)
        done = 100
        step = max((arguments.transfers - arguments.at_once - done) // SAMPLES, 1)
        for count, lanes in [(arguments.at_once, arguments.at_once), *[(step, LANES)] * SAMPLES]:
            began = time.monotonic()
            soak(client, range(done, done + count), lanes)
            done += count
            last = _sample(client, done, (time.monotonic() - began) / count)
    return 0 if is_clean(first, last) else 1


def is_clean(first: Held, last: Held) -> bool:
    """Tell whether transfers have left nothing.

    Args:
        first: what was held before.
        last: what is held now.
    """
    memory = last.driver_mib < first.driver_mib + MOST_MIB
    memory = memory and last.server_mib < first.server_mib + MOST_MIB
    same = all(getattr(last, each) <= getattr(first, each) for each in COUNTS)
    return memory and same and not last.zombies and not last.files


def _sample(client: Client, done: int, seconds: float) -> Held:
    held = settled(client)
    cells = [
        f"{done:,}",
        f"{seconds:.3f}",
        f"{held.driver_mib:.0f} MiB",
        f"{held.server_mib:.0f} MiB",
    ]
    cells += [str(held.descriptors), str(held.sockets), str(held.processes)]
    cells += [str(held.zombies), str(held.files)]
    print("|", " | ".join(cells), "|", flush=True)
    return held


def settled(client: Client) -> Held:
    """Look at what is held once nothing runs any more."""
    held = client.held()
    for _ in range(50):
        if not held.files and not held.zombies and held.processes <= 1:
            break
        time.sleep(0.1)
        held = client.held()
    return held


if __name__ == "__main__":
    sys.exit(main())
