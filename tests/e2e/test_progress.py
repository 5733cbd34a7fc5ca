"""How far a copy is: in the VM's log, on a terminal, and against limits of silence."""

import json
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import COMMAND, environment_of, tm_ansible
from tests.support.hosts import SshHost

MIB = 1 << 20
RATE = r"[0-9.]+ [KMG]?i?B(ytes)?/s"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Give an OpenNebula whose copies take a while: 8 MiB/s."""
    location = tmp_path / "one"
    for model in ("nfs", "shared"):
        etc = location / "etc" / f"tm_{model}"
        etc.mkdir(parents=True)
        (etc / f"tm_{model}.conf").write_text(f"CLONE = {model}/clone.yml\nMV = {model}/mv.yml\n")
        (etc / "settings.yml").write_text(
            "copies: {bandwidth_front_end: 8, bandwidth_per_host: 8}\nsource_dirs: [/dev/shm]\n"
        )
    (location / "var").mkdir()
    return location


@pytest.fixture
def shared_memory(tmp_path: Path) -> Path:
    """Give a directory on another file system, so that nothing can be shared or renamed."""
    directory = Path("/dev/shm", f"test-{os.getpid()}-{tmp_path.name}")
    try:
        directory.mkdir()
    except OSError:
        pytest.skip("no /dev/shm to have a second file system")
    yield directory
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def be_impatient(one: Path, model: str, more: str = "") -> None:
    """Set a limit of silence: longer than a start on a busy machine, shorter than a copy."""
    settings = one / f"etc/tm_{model}/settings.yml"
    settings.write_text(f"{settings.read_text()}limits: {{silence_seconds: 8}}\n{more}")


def shown_at_a_terminal(*words: str, one: Path) -> tuple[int, str]:
    """Run a command at a terminal; give its exit status and all that it showed."""
    controller, terminal = pty.openpty()
    environment = environment_of(one) | {"TERM": "xterm", "COLUMNS": "160", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        [*COMMAND, *words], env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        shown, end = b"", time.monotonic() + 60
        while time.monotonic() < end and (more := read(controller)):
            shown += more
        os.close(controller)
        return process.wait(timeout=30), shown.decode()


def read(controller: int) -> bytes:
    """Read what a terminal shows next; nothing once its last user has gone."""
    try:
        return os.read(controller, 65536) if select.select([controller], [], [], 30)[0] else b""
    except OSError:
        return b""


def test_a_terminal_has_a_live_bar(one: Path, shared_memory: Path) -> None:
    """Percentage, bytes and rate move while the copy does, and names are no markup."""
    (shared_memory / "[red]base.img").write_bytes(os.urandom(20 * MIB))
    source, disk = f"localhost:{shared_memory}/[red]base.img", one / "var/7/images/disk.0"
    words = ("run", "CLONE", source, f"localhost:{disk}", "--map", "tm_nfs")
    status, shown = shown_at_a_terminal(*words, one=one)
    assert status == 0, shown
    assert "CLONE localhost: [red]base.img" in shown
    percents = {int(number) for number in re.findall(r"(\d+)%", shown)}
    assert len(percents - {0, 100}) >= 2, shown
    assert re.search(r"/20.0 MiB", shown)
    assert re.search(r"\d\.\d MiB/s", shown)
    assert "tm_progress" not in shown
    assert "20.0 MiB moved in" in shown


def test_no_terminal_gets_plain_lines(one: Path, shared_memory: Path) -> None:
    """A pipe gets lines of the log alone, and the last has bytes, time and rate."""
    (shared_memory / "base.img").write_bytes(os.urandom(16 * MIB))
    disk = one / "var/7/images/disk.0"
    words = ("run", "CLONE", f"localhost:{shared_memory}/base.img", f"localhost:{disk}")
    done = tm_ansible(*words, "--map", "tm_nfs", location=one)
    assert (done.returncode, done.stderr) == (0, "")
    last = (
        rf"CLONE localhost: copied base.img to disk.0, 16.0 MiB: 16.0 MiB moved in \d.\d s, {RATE}"
    )
    assert re.fullmatch(last, done.stdout.strip()), done.stdout


@pytest.mark.long
def test_a_slow_move_across_file_systems_is_no_silence(one: Path, shared_memory: Path) -> None:
    """A copy of nine seconds does not trip a limit of eight seconds of silence."""
    be_impatient(one, "nfs", f"allowed_dirs: [{one}, {shared_memory}]\n")
    (shared_memory / "base.img").write_bytes(os.urandom(72 * MIB))
    disk = one / "var/7/disk.0"
    words = ("run", "MV", f"localhost:{shared_memory}/base.img", f"localhost:{disk}")
    done = tm_ansible(*words, "--map", "tm_nfs", location=one)
    assert done.returncode == 0, done.stderr
    assert re.search(rf": 72.0 MiB moved in \d+.\d s, {RATE}$", done.stdout.strip())
    assert disk.stat().st_size == 72 * MIB
    assert not (shared_memory / "base.img").exists()


@pytest.mark.root
def test_a_step_on_a_host_tells_its_progress(
    one: Path, shared_memory: Path, nodes: dict[str, SshHost], inventory: Path, cloud: Path
) -> None:
    """The same bar, and no silence, where the copy runs on a host by ssh."""
    be_impatient(one, "shared", f"allowed_dirs: [{cloud}]\n")
    (shared_memory / "base.img").write_bytes(os.urandom(72 * MIB))
    disk = cloud / "7/images/disk.0"
    words = [
        "run",
        "CLONE",
        f"node1:{shared_memory}/base.img",
        f"node1:{disk}",
        "--map",
        "tm_shared",
    ]
    status, shown = shown_at_a_terminal(*words, "-i", str(inventory), one=one)
    assert status == 0, shown
    percents = {int(number) for number in re.findall(r"(\d+)%", shown)}
    assert len(percents - {0, 100}) >= 3, shown
    assert nodes["node1"].path(disk).stat().st_size == 72 * MIB
    nodes["node1"].path(disk).unlink()


@pytest.mark.root
def test_a_step_on_a_host_ends_with_its_pipes(
    one: Path, shared_memory: Path, nodes: dict[str, SshHost], inventory: Path, cloud: Path
) -> None:
    """When the run is killed the program on the host ends, and leaves no temporary file."""
    be_impatient(one, "shared", f"allowed_dirs: [{cloud}]\n")
    (shared_memory / "base.img").write_bytes(os.urandom(64 * MIB))
    directory = nodes["node1"].path(cloud / "8")
    words = [f"node1:{shared_memory}/base.img", f"node1:{cloud}/8/disk.0", "--map", "tm_shared"]
    command = [*COMMAND, "run", "CLONE", *words, "-i", str(inventory)]
    with subprocess.Popen(command, env=environment_of(one), stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: directory.exists() and list(directory.glob(".tm-*")))
        process.kill()
    wait_until(lambda: not list(directory.iterdir()))


def wait_until(condition, seconds: float = 20) -> None:
    """Wait for a condition to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.05)


@pytest.mark.root
def test_ad_hoc_runs_show_no_messages_of_machines(
    nodes: dict[str, SshHost], inventory: Path, cloud: Path, shared_memory: Path
) -> None:
    """Without somebody who asks for it a task prints no structured progress."""
    (shared_memory / "base.img").write_bytes(os.urandom(4 * MIB))
    task = {
        "source": f"{shared_memory}/base.img",
        "destination": f"{cloud}/9/disk.0",
        "bandwidth_mib": 2,
        "allowed_dirs": [str(cloud)],
        "source_dirs": [str(shared_memory)],
    }
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["ansible", "-i", str(inventory), "node1", "-m", "one.tm.clone", "-a", json.dumps(task)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(root / ".collections")},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert "tm_progress" not in done.stdout
    assert "4.0 MiB moved in" in done.stdout
