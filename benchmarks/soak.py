"""Many transfers through one driver: what each costs, and what is left of them.

    python -m benchmarks.soak [--transfers 2000] [--at-once 500]

First so many at once, then the rest ten at a time, in the model nfs. The output is a table in
Markdown: at each sample the time of a transfer since the last, and what driver and server of warm
workers hold.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.transfers import World, make_world, script
from benchmarks.world import machine
from tests.support.hosts import children_of
from tests.support.oned import Oned

SAMPLES = 10
LANES = 10


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--transfers", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=500)
    arguments = parser.parse_args()
    with make_world("nfs") as world, world.site.start() as oned:
        oned.wait_warm()
        print("\n".join(machine()))
        print("\n| transfers | s each | driver | server | descriptors | processes | temporary |")
        print("|---|---|---|---|---|---|---|")
        _sample(oned, 0, 0.0)
        _run(oned, world, 0, arguments.at_once, arguments.at_once)
        step = (arguments.transfers - arguments.at_once) // SAMPLES
        for number in range(SAMPLES):
            _run(oned, world, arguments.at_once + number * step, step, LANES)


def _run(oned: Oned, world: World, first: int, count: int, lanes: int) -> None:
    """Carry out so many transfers, at most so many asked for at a time, and print a sample."""
    began = time.monotonic()
    waiting: list[int] = []
    for vm_id in range(first, first + count):
        oned.submit(vm_id, script(world, vm_id))
        waiting.append(vm_id)
        if len(waiting) >= lanes:
            _answered(oned, waiting.pop(0))
    for vm_id in waiting:
        _answered(oned, vm_id)
    _sample(oned, first + count, (time.monotonic() - began) / max(count, 1))


def _answered(oned: Oned, vm_id: int) -> None:
    reply = oned.wait_reply(vm_id, 600)
    assert reply.ok, reply.reason


def _sample(oned: Oned, done: int, seconds: float) -> None:
    time.sleep(1)
    server = oned.wait_warm()
    driver = oned.process.pid
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (driver, server))
    processes = len(list(children_of(driver))) + len(list(children_of(server)))
    left = len(list(Path(tempfile.gettempdir()).glob("tm_ansible.*")))
    print(
        f"| {done} | {seconds:.3f} | {_mib(driver)} MiB | {_mib(server)} MiB | {descriptors} "
        f"| {processes} | {left} |",
        flush=True,
    )


def _mib(pid: int) -> int:
    """Give a process's resident memory."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") // (1024 * 1024)


if __name__ == "__main__":
    main()
