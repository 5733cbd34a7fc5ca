"""What needs no network, or once: sharing of blocks, one host with two names, the image cache."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import images, tools
from benchmarks.tools import ROOT, Job
from benchmarks.world import FAR, carried, link, missing_for_links, running_host, scratch
from tests.support import filesystems

CLONES = 20
# The step alone, without Ansible: seconds of it on standard output.
STEP = """
import sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.one.tm.plugins.module_utils import clone, step
params = dict.fromkeys(("mode", "owner", "group"))
params.update(source=sys.argv[2], destination=sys.argv[3], source_dirs=[])
params["allowed_dirs"] = [sys.argv[3].rpartition("/")[0]]
began = time.monotonic()
clone.run(params, False)
print(time.monotonic() - began)
"""


def measure_reflink(size_mib: int) -> None:
    """Clone an image of four times the size where blocks can be shared."""
    if reason := filesystems.missing_for_file_systems():
        print(f"(clones by reflink: left out, {reason})")
        return
    print("| clone on one file system | ours, step | cp --reflink | to reach | reached |")
    print("|---|---|---|---|---|")
    for kind in ("xfs", "btrfs"):
        with scratch() as directory, filesystems.front_end() as place:
            there = directory / kind
            filesystems.mount(place, kind, directory / "image", there, mebibytes=6 * size_mib)
            image = there / "base.img"
            images.make_dense(filesystems.seen(place, image), 4 * size_mib)
            place.run("sync", "-f", str(image))
            step = [sys.executable, "-c", STEP, str(ROOT / ".collections"), str(image)]
            ours = float(place.run(*step, str(there / "ours")).stdout)
            began = time.monotonic()
            place.run("cp", "--reflink=always", str(image), str(there / "theirs"))
            theirs = time.monotonic() - began
            place.run("cmp", str(image), str(there / "ours"))
        size = f"{4 * size_mib} MiB, {kind}"
        reached = "yes" if ours < 0.1 else "no"
        print(f"| {size} | {ours:.3f} s | {theirs:.3f} s | below 0.1 s | {reached} |", flush=True)
    print()


def measure_same_host(size_mib: int) -> None:
    """Move an image between two names of one host."""
    with scratch() as directory:
        cloud = directory / "var" / "cloud"
        with running_host(directory, "node1", cloud) as reached:
            alias = directory / "alias.ini"
            alias.write_text(reached.inventory.read_text().replace("node1 ", "also1 "))
            job = Job(reached, cloud / "from", cloud)
            reached.host.path(cloud / "from").mkdir()
            images.make_dense(reached.host.path(cloud / "from/disk.0"), size_mib)
            inode = reached.host.path(cloud / "from/disk.0").stat().st_ino
            inventories = ("-i", str(reached.inventory), "-i", str(alias))
            places = (f"also1:{cloud}/from/disk.0", f"node1:{cloud}/to/disk.0")
            began = time.monotonic()
            tools.tm_ansible(job, "run", "MV", *places, *inventories)
            whole = time.monotonic() - began
            renamed = reached.host.path(cloud / "to/disk.0").stat().st_ino == inode
    print("| move between two names of one host | ours, whole | to reach | reached |")
    print("|---|---|---|---|")
    answer = "yes" if renamed else "no"
    print(f"| {size_mib} MiB | {whole:.1f} s | a rename | {answer} |\n", flush=True)


def measure_cache(size_mib: int) -> None:
    """Clone an image many times to one host with a cache on XFS, and with scp."""
    if reason := missing_for_links() or filesystems.missing_for_file_systems(("xfs",)):
        print(f"(the image cache: left out, {reason})")
        return
    with scratch() as directory, link() as network:
        cloud = directory / "var" / "cloud"
        with running_host(directory, "node1", cloud, FAR, network) as reached:
            room = (CLONES + 2) * size_mib + 512
            filesystems.mount(reached.host, "xfs", directory / "xfs", cloud / "vms", room)
            source = directory / "var" / "source" / "base.img"
            source.parent.mkdir()
            images.make_dense(source, size_mib)
            os.sync()
            job = Job(reached, source, cloud / "vms")
            whole, times = _clones(job, directory)
            theirs = _scps(job)
    ratio = theirs / whole
    print(f"| {CLONES} clones to one host | ours, whole | scp | scp / ours | to reach | reached |")
    print("|---|---|---|---|---|---|")
    answer = "yes" if ratio > 5 and times < 1.5 else "no"
    cells = [f"{size_mib} MiB, {times:.1f} times over the network, XFS", f"{whole:.1f} s"]
    cells += [f"{theirs:.1f} s", f"{ratio:.1f}", "above 5, once over the network", answer]
    print("|", " | ".join(cells), "|\n", flush=True)


def _clones(job: Job, directory: Path) -> tuple[float, float]:
    """Clone with a cache; give seconds, and how many times the image went over the link."""
    settings = directory / "cache.ini"
    settings.write_text(f"[nodes:vars]\ntm_cache_dir={job.target}/cache\n")
    script = directory / "script"
    names = [job.target / str(number) / "disk.0" for number in range(CLONES)]
    script.write_text("".join(f"CLONE localhost:{job.source} node1:{name}\n" for name in names))
    inventories = ("-i", str(job.reached.inventory), "-i", str(settings))
    before, began = carried(), time.monotonic()
    tools.tm_ansible(job, "transfer", str(script), *inventories)
    took, times = time.monotonic() - began, (carried() - before) / job.source.stat().st_size
    for name in names:
        copy = filesystems.seen(job.reached.host, name)
        subprocess.run(["cmp", str(job.source), str(copy)], check=True)
        copy.unlink()
    return took, times


def _scps(job: Job) -> float:
    seconds = 0.0
    for _ in range(CLONES):
        began = time.monotonic()
        tools.scp(job)
        with job.copy.open("rb") as file:
            os.fsync(file.fileno())
        seconds += time.monotonic() - began
        job.copy.unlink()
    return seconds


CASES: dict[str, Callable[[int], None]] = {
    "reflink": measure_reflink,
    "same-host": measure_same_host,
    "cache": measure_cache,
}
