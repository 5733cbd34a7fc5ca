"""How long a LOG line takes from its event to oned, and the answer to INIT from the start.

    python -m benchmarks.latency [--lines 200] [--starts 20]

An action script says what time it is, again and again, while a transfer is under way; the line's
arrival is compared with that. The output is tables in Markdown.
"""

import argparse
import os
import time
from pathlib import Path

from benchmarks.transfers import World, make_world
from benchmarks.world import machine
from tests.support.oned import Oned

PAUSE_SECONDS = 0.02
AT_MOST = 0.05
INIT_AT_MOST = 0.2
SCRIPT = """\
#!/bin/sh
. "$TM_COMMON"
for number in $(seq {lines}); do
    log "at $(date +%s.%N)"
    sleep {pause}
done
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--starts", type=int, default=20)
    arguments = parser.parse_args()
    print("\n".join(machine()))
    with make_world("nfs") as world:
        starts = [_start(world) for _ in range(arguments.starts)]
        took, worked = (sorted(times) for times in zip(*starts, strict=True))
        _print(f"INIT, {arguments.starts} starts", took, INIT_AT_MOST)
        _print("of that, processor time", worked, INIT_AT_MOST)
        _install(world, arguments.lines)
        with world.site.start() as oned:
            oned.wait_warm()
            took = sorted(_latencies(oned, world, arguments.lines))
    _print(f"LOG, {arguments.lines} lines, 50 a second", took, AT_MOST)


def _print(what: str, took: list[float], at_most: float) -> None:
    """Print times in order, in seconds, as a table."""
    print(f"\n| {what} | median | 99 of 100 | most | at most | reached |")
    print("|---|---|---|---|---|---|")
    count = len(took)
    times = (took[count // 2], took[count * 99 // 100], took[-1], at_most)
    cells = [f"{seconds * 1000:.1f} ms" for seconds in times]
    print(f"| | {' | '.join(cells)} | {'yes' if took[-1] <= at_most else 'no'} |")


def _start(world: World) -> tuple[float, float]:
    """Start a driver; give the seconds until its answer, and what processor time they took."""
    with world.site.start() as oned:
        stat = Path(f"/proc/{oned.process.pid}/stat").read_text()
        ticks = map(int, stat.rpartition(")")[2].split()[11:13])
        return oned.init_took, sum(ticks) / os.sysconf("SC_CLK_TCK")


def _install(world: World, lines: int) -> None:
    """Have LN say the time."""
    script = world.site.etc / "says.sh"
    script.write_text(SCRIPT.format(lines=lines, pause=PAUSE_SECONDS))
    script.chmod(0o755)
    map_ = world.site.etc / f"tm_ansible_{world.site.model}.conf"
    others = [line for line in map_.read_text().splitlines() if not line.startswith("LN")]
    map_.write_text("\n".join([*others, "LN = says.sh", ""]))


def _latencies(oned: Oned, world: World, lines: int) -> list[float]:
    """Carry one transfer out, and give each line's seconds on its way."""
    disk = world.site.vm_dir(1) / "images" / "disk.0"
    oned.submit(1, f"LN fe:{world.site.images}/a.img {world.target}:{disk}\n")
    return [_latency(oned, number) for number in range(lines)]


def _latency(oned: Oned, number: int) -> float:
    """Wait for the line of a number, and give its seconds on the way."""

    def said() -> list[str]:
        return [line for line in oned.logs(1) if "LN fe: at " in line]

    oned.wait_for(lambda: len(said()) > number, 60, "a line")
    return time.time() - float(said()[number].rpartition(" ")[2])


if __name__ == "__main__":
    main()
