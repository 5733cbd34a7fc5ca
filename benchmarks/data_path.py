"""Copies of images: ours beside scp, rsync, tar and cat, in one run, with what is to be reached.

    python -m benchmarks.data_path [--size-mib 1024] [--repeat 3] [CASE ...]

Needs root: hosts are sshd processes of their own, as in the tests. The tools take turns; figures
are medians. Ours is a transfer of the driver, started as oned starts it. The time of every tool
includes a flush of what it wrote (fsync of each file and of its directory), and every copy is
compared with its source. The output is in Markdown.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import images, local, tools
from benchmarks.tools import Job, Tool
from benchmarks.world import (
    FAR,
    Reached,
    link,
    machine,
    missing_for_links,
    running_host,
    scratch,
)
from tests.support.oned import Oned
from tests.support.site import Site

MEGABITS = 100


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of image.

    Attributes:
        what: for the table.
        make: writes the image.
        tools: beside ours.
        targets: for a tool the least of its seconds in ours.
        is_slow: whether the link is slow; then each tool has one turn.
    """

    what: str
    make: Callable[[Path, int], None]
    tools: tuple[Tool, ...]
    targets: Mapping[str, float] = field(default_factory=dict)
    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """Medians of one case in seconds.

    Attributes:
        whole: of each tool.
        copying: of our copying task.
    """

    whole: dict[str, float]
    copying: float


ALL = (tools.scp, tools.scp_fast, tools.rsync, tools.tar, tools.cat)
CASES = {
    "sparse": Case(
        "sparse, four times the size with a sixteenth of data",
        images.make_sparse,
        ALL[:4],
        {"scp": 15, "tar": 1.2},
    ),
    "zero": Case("allocated zeros, four times the size", images.make_zero, ALL[:4], {"scp": 10}),
    "dense": Case("dense random", images.make_dense, ALL, {"scp": 2, "cat": 1 / 1.3}),
    "directory": Case(
        "a VM's directory: 4 images, a link, 50 small files, a quarter of the size",
        images.make_directory,
        (tools.rsync, tools.tar),  # scp follows links
        {"tar": 1},
    ),
    "text": Case(
        f"text, link of {MEGABITS} Mbit/s",
        images.make_text,
        (tools.scp, tools.scp_compressed),
        {"scp": 3},
        is_slow=True,
    ),
}


def main() -> None:
    """Measure and print."""
    arguments = _parse()
    print(*machine(), "", f"Size: {arguments.size_mib} MiB.", "", sep="\n", flush=True)
    chosen = arguments.cases or [*CASES, *local.CASES]
    if heads := [name for name in chosen if name in CASES]:
        print_head()
        for name in heads:
            measure_case(CASES[name], name, arguments.size_mib, arguments.repeat)
        print(flush=True)
    for name in chosen:
        if name in local.CASES:
            local.CASES[name](arguments.size_mib)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    names = [*CASES, *local.CASES]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(names)}; all")
    parser.add_argument("--size-mib", type=int, default=1024, help="of the dense image")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each tool")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(names):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return arguments


@contextmanager
def far_side(is_slow: bool) -> Iterator[tuple[Path, Reached]]:
    """Give a directory and a host in it, behind a slow link or on the loopback interface."""
    with scratch() as directory:
        cloud = directory / "var" / "cloud"
        if is_slow:
            with (
                link(MEGABITS) as network,
                running_host(directory, "node1", cloud, FAR, network) as reached,
            ):
                yield directory, reached
        else:
            with running_host(directory, "node1", cloud) as reached:
                yield directory, reached


@contextmanager
def driver(directory: Path, reached: Reached) -> Iterator[Oned]:
    """Give a driver that runs as under oned, warm, and may move what is below ``var``."""
    places = f"[{directory}/var]"
    settings = f"engine: {{warm: true}}\nallowed_for: {{CLONE: {places}, MV: {places}}}\n"
    site = Site(directory / "site", "ssh").install(settings, inventories=[reached.inventory])
    with site.start() as oned:
        oned.wait_warm()
        yield oned


def measure_case(case: Case, name: str, size_mib: int, repeat: int) -> None:
    """Measure one case and print its row."""
    if case.is_slow and (reason := missing_for_links()):
        print(f"({case.what}: left out, {reason})")
        return
    with far_side(case.is_slow) as (directory, reached), driver(directory, reached) as oned:
        job = Job(reached, directory / "var" / "source" / name, reached.host.cloud, oned)
        job.source.parent.mkdir()
        case.make(job.source, size_mib)
        os.sync()
        print_row(case, measure(job, case, 1 if case.is_slow else repeat))


def measure(job: Job, case: Case, repeat: int) -> Times:
    """Time ours and each tool in turn, several rounds."""
    taking_part = [tools.ours, *filter(tools.is_there, case.tools)]
    whole: dict[str, list[float]] = {tool.__name__: [] for tool in taking_part}
    copying = []
    for _ in range(repeat):
        for tool in taking_part:
            began = time.monotonic()
            told = tool(job)
            flush(job.copy)
            whole[tool.__name__].append(time.monotonic() - began)
            copying += [told] if told is not None else []
            compare(job.source, job.copy, with_room=tool is tools.ours)
            remove(job.copy)
            os.sync()
    medians = {tool: statistics.median(times) for tool, times in whole.items()}
    return Times(medians, statistics.median(copying))


def flush(copy: Path) -> None:
    """Flush every file of a copy, and the directories that hold them."""
    for path in [*sorted(copy.rglob("*")), copy, copy.parent]:
        if not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def compare(source: Path, copy: Path, with_room: bool) -> None:
    """Stop if a copy differs from its source, or takes over 5 % more room."""
    subprocess.run(["diff", "-rq", "--no-dereference", str(source), str(copy)], check=True)
    if with_room and room(copy) > 1.05 * room(source):
        sys.exit(f"{copy} takes {room(copy)} bytes, its source {room(source)}")


def room(path: Path) -> int:
    """Give the bytes that a file or a tree takes on the disk."""
    return sum(found.lstat().st_blocks * 512 for found in [path, *path.rglob("*")])


def remove(path: Path) -> None:
    """Remove a file or a tree."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


HEADS = {
    "scp": "scp",
    "scp_fast": "scp, aes128-gcm",
    "scp_compressed": "scp -C",
    "rsync": "rsync -S",
    "tar": "tar -S",
    "cat": "cat, aes128-gcm",
}


def print_head() -> None:
    """Print the head of the table."""
    heads = ["image", "ours, whole", "ours, copying", *HEADS.values()]
    heads += ["ratios (copying; whole)", "to reach", "reached"]
    print("|", " | ".join(heads), "|")
    print("|---" * len(heads) + "|", flush=True)


def print_row(case: Case, times: Times) -> None:
    """Print a case: seconds, how many times longer others take than ours, and what is wanted."""
    others = [f"{times.whole[tool]:.1f} s" if tool in times.whole else "" for tool in HEADS]
    whole = times.whole["ours"]
    ratios = {
        tool: (times.whole[tool] / times.copying, times.whole[tool] / whole)
        for tool in case.targets
    }
    told = [f"{tool} {one:.2f}; {other:.2f}" for tool, (one, other) in ratios.items()]
    wanted = [f"{tool} {least:.2f}" for tool, least in case.targets.items()]
    reached = [
        "yes" if ratios[tool][1] >= least else "yes, copying" if ratios[tool][0] >= least else "no"
        for tool, least in case.targets.items()
    ]
    cells = [case.what, f"{whole:.1f} s", f"{times.copying:.1f} s", *others]
    cells += ["<br>".join(told), "<br>".join(wanted), "<br>".join(reached)]
    print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
