"""Whole transfers of three actions: our driver beside a plain shell driver, in one run.

    python -m benchmarks.transfers [--rounds 15] [--at-once 100] [--turns 3] [MODEL ...]

A transfer is CLONE of 1 MiB, MKSWAP 16, LN. Both drivers are started as oned starts them. Needs
root for the model ssh, whose host is an sshd of its own on 127.0.0.2. The output is a table in
Markdown: medians of transfers one after another, and of turns of many at once.
"""

import argparse
import os
import shlex
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.world import machine, running_host, scratch
from tests.support.oned import Oned
from tests.support.site import Site

REFERENCE = Path(__file__).resolve().parent / "reference" / "driver"
MODELS = ("nfs", "ssh")
WARM = "engine: {warm: true}\n"
# How long ours may take, in times of the shell's: one after another, and many at once.
TARGETS = {"nfs": (2.0, 1.0), "ssh": (0.2, 0.2)}


@dataclass(frozen=True, slots=True)
class World:
    """What both drivers work in.

    Attributes:
        site: an installation with our driver.
        target: the host of destinations, as scripts name it.
        reference: arguments of the shell driver.
    """

    site: Site
    target: str
    reference: str


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=15, help="transfers one after another")
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3, help="of many at once, of each driver")
    arguments = parser.parse_args()
    print("\n".join(machine()))
    print("\n| model | | ours | shell | ours / shell | at most | reached |")
    print("|---|---|---|---|---|---|---|")
    for model in arguments.models:
        with make_world(model) as world:
            compare(world, arguments.rounds, [arguments.at_once] * arguments.turns)


@contextmanager
def make_world(model: str) -> Iterator[World]:
    """Give an installation, and for ssh a running host; they end with the block."""
    with scratch() as directory:
        if model == "nfs":
            site = Site(directory / "front-end", model).install(WARM)
            yield _furnish(World(site, "fe", "nfs"))
        else:
            yield from _with_host(directory)


def _with_host(directory: Path) -> Iterator[World]:
    cloud = directory / "cloud"
    with running_host(directory, "127.0.0.2", cloud) as reached:
        site = Site(cloud / "fe", "ssh").install(WARM, inventories=[reached.inventory])
        yield _furnish(World(site, "127.0.0.2", shlex.join(["ssh", *reached.options])))


def _furnish(world: World) -> World:
    (world.site.images / "a.img").write_bytes(os.urandom(1024 * 1024))
    return world


def script(world: World, vm_id: int) -> str:
    """Give the script of one VM."""
    source = f"fe:{world.site.images}/a.img"
    disk = f"{world.target}:{world.site.vm_dir(vm_id)}/images/disk"
    return f"CLONE {source} {disk}.0\nMKSWAP 16 {disk}.1\nLN {source} {disk}.2\n"


def compare(world: World, rounds: int, turns: list[int]) -> None:
    """Run both drivers in turn and print two rows; how many are at once in each turn is given."""
    ours, shell = [], []
    single, together = TARGETS[world.site.model]
    with world.site.start() as first, _start_reference(world) as second:
        first.wait_warm()
        for number in range(rounds):
            ours.append(_one(first, world, 2 * number))
            shell.append(_one(second, world, 2 * number + 1))
        medians = statistics.median(ours), statistics.median(shell)
        _row(world, f"one after another, median of {rounds}", *medians, single)
        begin, taken = 2 * rounds, []
        for at_once in turns:
            middle, end = begin + at_once, begin + 2 * at_once
            many = _many(first, world, range(begin, middle))
            taken.append((many, _many(second, world, range(middle, end))))
            begin = end
        what = f"{turns[0]} at once, median of {len(turns)}"
        _row(world, what, *map(statistics.median, zip(*taken, strict=True)), together)


def _start_reference(world: World) -> Oned:
    # oned hands over one string; the shell driver has no parser of its own.
    starter = ["/bin/sh", "-c", f"exec {shlex.quote(str(REFERENCE))} $1", "sh"]
    return Oned(world.site.location, world.reference, command=starter)


def _one(oned: Oned, world: World, vm_id: int) -> float:
    began = time.monotonic()
    done = oned.transfer(vm_id, script(world, vm_id))
    assert done.ok, done.reason
    return time.monotonic() - began


def _many(oned: Oned, world: World, vm_ids: range) -> float:
    began = time.monotonic()
    for vm_id in vm_ids:
        oned.submit(vm_id, script(world, vm_id))
    for vm_id in vm_ids:
        reply = oned.wait_reply(vm_id, 1800)
        assert reply.ok, reply.reason
    return time.monotonic() - began


def _row(world: World, what: str, ours: float, shell: float, most: float) -> None:
    cells = [world.site.model, what, f"{ours:.3f} s", f"{shell:.3f} s", f"{ours / shell:.2f}"]
    cells += [f"{most:g}", "yes" if ours / shell <= most else "no"]
    print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
