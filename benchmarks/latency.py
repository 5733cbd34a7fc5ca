"""How long a LOG line takes from its event to oned.

    python -m benchmarks.latency [--lines 200]

An action script says what time it is, again and again, while a transfer is under way; the line's
arrival is compared with that. The output is a table in Markdown.
"""

import argparse
import time

from benchmarks.transfers import World, make_world
from benchmarks.world import machine
from tests.support.oned import Oned

PAUSE_SECONDS = 0.02
AT_MOST = 0.05
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
    lines = parser.parse_args().lines
    print("\n".join(machine()))
    print("\n| LOG lines, 50 a second | median | 99 of 100 | most | at most | reached |")
    print("|---|---|---|---|---|---|")
    with make_world("nfs") as world:
        _install(world, lines)
        with world.site.start() as oned:
            oned.wait_warm()
            took = sorted(_latencies(oned, world, lines))
    middle, late, most = took[lines // 2], took[lines * 99 // 100], took[-1]
    reached = "yes" if most <= AT_MOST else "no"
    cells = [*(f"{seconds * 1000:.1f} ms" for seconds in (middle, late, most, AT_MOST)), reached]
    print(f"| {lines} | {' | '.join(cells)} |")


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
