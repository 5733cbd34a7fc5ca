"""Limits of bandwidth, between real hosts: several copies together stay within them."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts import SshHost

MIB = 1 << 20
ROOT = Path(__file__).parents[2]
# What a pause before the first byte may make up for, and sizes beside the image's own.
TOLERANCE = 0.9


def start(inventory: Path, host: str, **task: Any) -> "subprocess.Popen[str]":
    """Start one transfer from the front-end or another host."""
    words = ["ansible", "-o", "-i", str(inventory), host, "-m", "one.tm.transfer"]
    arguments = {"allowed_dirs": [str(Path(task["destination"]).parent)], **task}
    return subprocess.Popen(
        [*words, "-a", json.dumps(arguments)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections")},
        stdout=subprocess.PIPE,
        text=True,
    )


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for its end and give its result."""
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return dict(json.loads(output.strip().splitlines()[-1].partition(" => ")[2]))


@pytest.mark.root
def test_four_copies_to_one_host_share_its_bandwidth(
    front_end: Path, nodes: dict[str, SshHost], inventory: Path
) -> None:
    """Four copies of 12 MiB at once to a host of 16 MiB/s take three seconds and no less."""
    (front_end / "base.img").write_bytes(os.urandom(12 * MIB))
    task = {"source_host": "localhost", "source": str(front_end / "base.img"), "bandwidth_mib": 16}
    copies = [
        start(inventory, "node1", **task, destination=str(front_end / f"{number}/disk.0"))
        for number in range(4)
    ]
    disks = [nodes["node1"].path(front_end / f"{number}/disk.0") for number in range(4)]
    begin, moved = measure(disks, 48 * MIB)
    ended = [result(process) for process in copies]
    assert all(each["changed"] for each in ended)
    assert moved / begin <= 16 * MIB / TOLERANCE
    for disk in disks:
        assert disk.stat().st_size == 12 * MIB
        disk.unlink()


def measure(disks: list[Path], total: int) -> tuple[float, int]:
    """Watch files grow under any name; give the time from the first byte to all, and the bytes."""
    begin, end = 0.0, time.monotonic() + 120
    while time.monotonic() < end:
        there = sum(allocated(disk.parent) for disk in disks)
        begin = begin or (time.monotonic() if there else 0.0)
        if there >= total:
            return time.monotonic() - begin, there
        time.sleep(0.02)
    raise AssertionError("the copies do not end")


def allocated(directory: Path) -> int:
    """Give the bytes that the files in a directory take, those of temporary names too."""
    try:
        return sum(entry.stat().st_blocks * 512 for entry in os.scandir(directory))
    except FileNotFoundError:
        return 0


@pytest.mark.root
@pytest.mark.long
@pytest.mark.parametrize(
    ("source_host", "limit"),
    [("localhost", "source_bandwidth_mib"), ("node2", "front_end_bandwidth_mib")],
)
def test_the_other_ends_limit_holds_too(
    front_end: Path, nodes: dict[str, SshHost], inventory: Path, source_host: str, limit: str
) -> None:
    """The sender's host, and the front-end that data pass through, have limits of their own."""
    source = nodes["node2"].path(front_end / "a") if source_host == "node2" else front_end / "a"
    source.write_bytes(os.urandom(16 * MIB))
    names = {"source": str(front_end / "a"), "destination": str(front_end / "b")}
    task = {"source_host": source_host, "route": "front_end", **names, limit: 8}
    done = result(start(inventory, "node1", **task))
    assert done["copy_seconds"] >= 2 * TOLERANCE
    assert done["bytes"] == 16 * MIB
    nodes["node1"].path(front_end / "b").unlink()
    source.unlink()


@pytest.mark.root
def test_a_very_slow_copy_is_no_silence(
    front_end: Path, nodes: dict[str, SshHost], inventory: Path
) -> None:
    """At 1 MiB/s a copy goes on, though nothing may be silent for more than three seconds."""
    (front_end / "a").write_bytes(os.urandom(5 * MIB))
    names = {"source": str(front_end / "a"), "destination": str(front_end / "b")}
    task = {"source_host": "localhost", **names, "bandwidth_mib": 1, "silence": 3}
    done = result(start(inventory, "node1", **task))
    assert done["copy_seconds"] >= 5 * TOLERANCE
    nodes["node1"].path(front_end / "b").unlink()
