"""Real hosts for tests: sshd processes on 127.0.0.x, each with files of its own.

Each sshd runs in a private mount namespace, in which one directory that all hosts share by
name (``cloud``) is a bind mount of a directory of that host alone. Keys are made for the
test, and host-key checking stays on.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PRIVILEGE_SEPARATION_DIRECTORY = Path("/run/sshd")
START_SECONDS = 10.0

SSHD_CONFIG = """\
ListenAddress {address}:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile {directory}/sshd.pid
StrictModes no
PermitRootLogin yes
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100:30:200
MaxSessions 100
Subsystem sftp internal-sftp
"""


def missing_for_hosts() -> str | None:
    """Tell why hosts cannot be made here.

    Returns:
        The reason, for a skipped test, or None if they can.
    """
    if os.geteuid() != 0:
        return "hosts for tests need root: a private mount namespace and an sshd for each"
    for program in ("sshd", "ssh", "ssh-keygen", "unshare", "nsenter", "mount"):
        if _program(program) is None:
            return f"hosts for tests need the program {program}"
    probe = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "true"], capture_output=True, check=False
    )
    return None if probe.returncode == 0 else "a private mount namespace is not allowed here"


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def make_key(path: Path) -> None:
    """Make an ed25519 key pair without a passphrase at ``path`` and ``path.pub``."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> Iterator[int]:
    """Yield the process ids of a process's children, as /proc has them now."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                yield int(entry.parent.name)


@dataclass(slots=True)
class SshHost:
    """One sshd with a private view of the directory ``cloud``.

    Attributes:
        name: its name in the inventory.
        address: in 127.0.0.0/8.
        directory: keys, configuration, and its private files, seen from outside.
        cloud: absolute path that exists on every host, with other contents on each.
        user_key: private key that is let in.
        variables: further inventory variables of this host.
        network: a network namespace to be in, as ip-netns(8) names it, or none; then a port is
            to be given too.
        binds: files and directories in the place of its own, by their paths there.
        client_config: what its own ssh finds as /etc/ssh/ssh_config; None for what is there.
    """

    name: str
    address: str
    directory: Path
    cloud: Path
    user_key: Path
    variables: dict[str, str] = field(default_factory=dict)
    port: int = 0
    network: str = ""
    client_config: str | None = None
    binds: dict[str, Path] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def private(self) -> Path:
        """Directory outside that is ``cloud`` on this host."""
        return self.directory / "private"

    @property
    def known_hosts(self) -> Path:
        """The known_hosts file with this host's key."""
        return self.directory / "known_hosts"

    @property
    def pid(self) -> int:
        """Process id of the listening sshd."""
        assert self._process is not None
        return self._process.pid

    def path(self, path: str | Path) -> Path:
        """Find a path of this host in its private directory.

        Args:
            path: an absolute path below ``cloud``, as this host sees it.
        """
        return self.private / Path(os.path.normpath(path)).relative_to(self.cloud)

    def start(self) -> None:
        """Start the sshd, again on the same port if it had one.

        Raises:
            RuntimeError: it did not listen in time; the text is its log.
        """
        self._prepare()
        for _ in range(5):
            self.port = self.port or _free_port(self.address)
            self._configure()
            if self._listen():
                return
            self.stop()
            self.port = 0
        raise RuntimeError(f"sshd of {self.name}: {(self.directory / 'log').read_text()}")

    def _prepare(self) -> None:
        PRIVILEGE_SEPARATION_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
        self.private.mkdir(parents=True, exist_ok=True)
        self.cloud.mkdir(parents=True, exist_ok=True)
        if not (self.directory / "host_key").exists():
            make_key(self.directory / "host_key")
        shutil.copy(f"{self.user_key}.pub", self.directory / "authorized_keys")

    def _configure(self) -> None:
        key = (self.directory / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {key}")
        config = SSHD_CONFIG.format(address=self.address, port=self.port, directory=self.directory)
        (self.directory / "sshd_config").write_text(config)

    def _listen(self) -> bool:
        """Start the process and wait until it listens; False if it ended."""
        script = 'mount --bind -- "$1" "$2" && shift 2 && exec "$@"'
        if self.client_config is not None:
            config = self.directory / "ssh_config"
            config.write_text(self.client_config)
            script = f"mount --bind -- {shlex.quote(str(config))} /etc/ssh/ssh_config && {script}"
        for place, source in self.binds.items():
            bind = f"mount --bind -- {shlex.quote(str(source))} {shlex.quote(place)}"
            script = f"{bind} && {script}"
        sshd = [str(_program("sshd")), "-D", "-e", "-f", str(self.directory / "sshd_config")]
        network = ["nsenter", f"--net=/run/netns/{self.network}", "--"] if self.network else []
        unshare = ["unshare", "-m", "--propagation", "private", "--", "sh", "-c", script, "sh"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*die_with_us(), *network, *unshare, str(self.private), str(self.cloud), *sshd],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            if self._answers():
                return True
            time.sleep(0.02)
        return False

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.address, self.port), 1) as probe:
            return probe.recv(4) == b"SSH-"
        return False

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command with this host's view of the files, without ssh.

        Raises:
            CalledProcessError: it failed.
        """
        inside = ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", *command]
        return subprocess.run(inside, check=True, capture_output=True, text=True)

    def descendants(self) -> list[int]:
        """Give the process ids of all that runs on this host, but its listening sshd."""
        found = list(children_of(self.pid))
        for pid in found:
            found.extend(children_of(pid))
        return found

    def kill_connections(self) -> int:
        """Kill the sshd processes that serve connections; the listening one stays.

        Returns:
            How many were killed.
        """
        victims = list(children_of(self.pid))
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(victims)

    def empty(self) -> None:
        """Remove all that is in its own contents of ``cloud``."""
        for entry in self.private.iterdir():
            self.run("rm", "-rf", "--", str(self.cloud / entry.name))

    def stop(self) -> None:
        """End the sshd and its connections; its files stay."""
        if self._process is None:
            return
        self.kill_connections()
        self._process.kill()
        self._process.wait()
        self._process = None

    def inventory_variables(self, control_path_dir: Path) -> dict[str, str]:
        """Give what Ansible needs to reach this host.

        Args:
            control_path_dir: where ssh's control sockets go; short, since a socket's path
                has at most 104 bytes.
        """
        options = f"-o UserKnownHostsFile={self.known_hosts} -o GlobalKnownHostsFile=/dev/null"
        return {
            "ansible_host": self.address,
            "ansible_port": str(self.port),
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.user_key),
            "ansible_ssh_common_args": f"{options} -o IdentitiesOnly=yes",
            "ansible_control_path_dir": str(control_path_dir),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_remote_tmp": str(self.directory / "tmp"),
            **self.variables,
        }


def die_with_us() -> list[str]:
    """Give a prefix by which a program ends with the process that started it."""
    setpriv = _program("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def write_inventory(path: Path, hosts: Iterable[SshHost], control_path_dir: Path) -> Path:
    """Write an INI inventory of hosts.

    Returns:
        The path that was written.
    """
    lines = [_host_line(host.name, host.inventory_variables(control_path_dir)) for host in hosts]
    path.write_text("\n".join(["[nodes]", *lines, ""]))
    return path


def _host_line(name: str, variables: Mapping[str, str]) -> str:
    return " ".join([name, *(f'{key}="{value}"' for key, value in variables.items())])


def close_masters(control_path_dir: Path) -> None:
    """Ask the ssh masters with a socket in a directory to end."""
    for control in control_path_dir.glob("*"):
        command = ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "ignored"]
        subprocess.run(command, capture_output=True, check=False, timeout=5)
