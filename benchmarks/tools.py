"""Copies to a host by ssh, each by another tool; none but ours checks what arrived."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.world import Reached
from tests.support.filesystems import seen
from tests.support.oned import Oned

ROOT = Path(__file__).resolve().parents[1]
FAST = ("-c", "aes128-gcm@openssh.com")


@dataclass(frozen=True, slots=True)
class Job:
    """What is copied.

    Attributes:
        reached: the host, the far side.
        source: a file or directory here.
        target: the directory there, as the host sees it.
        driver: ours, where it is to copy.
    """

    reached: Reached
    source: Path
    target: Path
    driver: Oned | None = None

    @property
    def copy(self) -> Path:
        """The copy, as this machine can open it."""
        return seen(self.reached.host, self.target / self.source.name)

    @property
    def location(self) -> Path:
        """``$ONE_LOCATION``; MV acts below its ``var`` only."""
        return self.target.parent.parent


_numbers = itertools.count()
Tool = Callable[[Job], float | None]


def tm_ansible(job: Job, *words: str) -> str:
    """Run ``tm-ansible`` in the model ssh and give what it says; stop if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tm_ansible.cli", *words, "--model", "ssh"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"ONE_LOCATION": str(job.location), "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        sys.exit(f"tm-ansible {' '.join(words)} failed:\n{done.stdout}")
    return done.stdout


def copying_seconds(log: str) -> float:
    """Give the seconds of the copying task, as the VM's log has them."""
    found = re.findall(r"(?:copied|moved) .* in (?:(\d+) min )?([\d.]+) s", log)
    assert found, log
    minutes, seconds = found[-1]
    return int(minutes or 0) * 60 + float(seconds)


def ours(job: Job) -> float:
    """Have the driver copy; give the seconds of the copying task."""
    assert job.driver
    kept = job.source.with_name(f"{job.source.name}.kept")
    verb = "MV" if job.source.is_dir() else "CLONE"
    if verb == "MV":
        subprocess.run(["cp", "-al", str(job.source), str(kept)], check=True)
    places = [f"localhost:{job.source}", f"node1:{job.target / job.source.name}"]
    done = job.driver.transfer(next(_numbers), f"{verb} {' '.join(places)}\n", timeout=900)
    assert done.ok, done.reason
    if verb == "MV":
        kept.rename(job.source)
    return copying_seconds("\n".join(done.log))


def scp(job: Job, *options: str) -> None:
    """Copy with scp as it comes."""
    host = f"root@{job.reached.host.address}:{job.target}/"
    words = ["scp", "-q", "-r", *options, *job.reached.options, str(job.source), host]
    subprocess.run(words, check=True)


def scp_fast(job: Job) -> None:
    """Copy with scp and the fastest cipher."""
    scp(job, *FAST)


def scp_compressed(job: Job) -> None:
    """Copy with scp, compressed."""
    scp(job, "-C")


def rsync(job: Job) -> None:
    """Copy with ``rsync -S``."""
    shell = " ".join(["ssh", *job.reached.options])
    host = f"root@{job.reached.host.address}:{job.target}/"
    subprocess.run(["rsync", "-aSW", "-e", shell, str(job.source), host], check=True)


def _pipe(job: Job, reader: list[str], writer: str, *options: str) -> None:
    with subprocess.Popen(reader, stdout=subprocess.PIPE, cwd=job.source.parent) as source:
        ssh, *words = job.reached.ssh
        subprocess.run([ssh, *options, *words, writer], check=True, stdin=source.stdout)


def tar(job: Job) -> None:
    """Copy with ``tar -S`` by ssh."""
    _pipe(job, ["tar", "-cSf", "-", job.source.name], f"tar -xSf - -C {job.target}")


def cat(job: Job) -> None:
    """Copy with cat by ssh and the fastest cipher."""
    _pipe(job, ["cat", job.source.name], f"cat > {job.target / job.source.name}", *FAST)


def is_there(tool: Tool) -> bool:
    """Tell whether a tool's program is installed."""
    return tool is not rsync or shutil.which("rsync") is not None
