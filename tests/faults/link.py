"""A bad network: a namespace behind a link that a program of ours carries, packet by packet.

Two TUN devices (``Documentation/networking/tuntap.rst`` of Linux), one here and one in the
namespace, are joined by a program that is slow, late and forgetful as it is told. A program that
is stopped is a cable that was pulled. Unlike tc-netem(8) it needs no module of the kernel.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.hosts import die_with_us

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
PACKET = 65536
# What waits for its turn at most, in seconds: a router's buffer.
BUFFER_SECONDS = 2.0
INSIDE = "tmfar"


@dataclass(frozen=True, slots=True)
class Quality:
    """How bad a link is, each way.

    Attributes:
        bits: a second; 0 for any number.
        loss: of packets, from 0 to 1.
        delay: of each packet, in seconds.
    """

    bits: float = 0
    loss: float = 0
    delay: float = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A link under way.

    Attributes:
        network: name of the namespace behind it.
        address: of its far end.
        pid: of what carries the packets.
    """

    network: str
    address: str
    pid: int

    def spoil(self) -> None:
        """Become as bad as it is to be; until now it is perfect."""
        os.kill(self.pid, signal.SIGUSR1)

    def pull(self) -> None:
        """Let nothing through any more."""
        os.kill(self.pid, signal.SIGSTOP)

    def plug(self) -> None:
        """Go on."""
        os.kill(self.pid, signal.SIGCONT)


def missing_for_links() -> str | None:
    """Tell why no link can be made here; None if they can."""
    if os.geteuid():
        return "a network of its own needs root"
    if shutil.which("ip") is None:
        return "a network of its own needs the program ip (package iproute2)"
    return None if Path("/dev/net/tun").exists() else "this kernel has no TUN devices"


@contextmanager
def link(quality: Quality) -> Iterator[Link]:
    """Give a namespace behind such a link.

    Raises:
        CalledProcessError: this machine cannot make one; its stderr tells why.
    """
    number = os.getpid() % 200 + 1
    network, near, far = f"tmlink{os.getpid()}", f"10.213.{number}.1", f"10.213.{number}.2"
    device = f"tm{os.getpid()}"
    _do("ip", "netns", "add", network)
    try:
        words = [network, device, str(quality.bits), str(quality.loss), str(quality.delay)]
        command = [*die_with_us(), sys.executable, "-m", __name__, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout
                assert process.stdout.readline() == b"ready\n"
                inside = ("ip", "-n", network)
                _do("ip", "address", "add", near, "peer", far, "dev", device)
                _do("ip", "link", "set", device, "up")
                _do(*inside, "address", "add", far, "peer", near, "dev", INSIDE)
                _do(*inside, "link", "set", INSIDE, "up")
                _do(*inside, "link", "set", "lo", "up")
                yield Link(network, far, process.pid)
            finally:
                process.kill()
    finally:
        _do("ip", "netns", "delete", network)


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


def _open(device: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    return tun


class _Way:
    """One direction: packets that wait, in the order in which they are due."""

    def __init__(self, target: int) -> None:
        self._target, self.quality = target, Quality()
        self._free = 0.0
        self._waiting: list[tuple[float, int, bytes]] = []
        self._number = 0

    def take(self, packet: bytes, now: float) -> None:
        """Take a packet, or lose it."""
        begin = max(now, self._free)
        if random.random() < self.quality.loss or begin - now > BUFFER_SECONDS:  # noqa: S311
            return
        bits = self.quality.bits
        self._free = begin + (len(packet) * 8 / bits if bits else 0)
        self._number += 1
        heapq.heappush(self._waiting, (self._free + self.quality.delay, self._number, packet))

    def give(self, now: float) -> float:
        """Pass on what is due; return seconds until the next."""
        while self._waiting and self._waiting[0][0] <= now:
            with suppress(OSError):  # the device is not up yet, or full: lost
                os.write(self._target, heapq.heappop(self._waiting)[2])
        return self._waiting[0][0] - now if self._waiting else 1.0


def _spoil(ways: Iterable[_Way], quality: Quality) -> None:
    for way in ways:
        way.quality = quality


def main() -> None:
    """Carry packets until somebody ends this; badly once SIGUSR1 has come."""
    network, device, *numbers = sys.argv[1:]
    here = _open(device)
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{network}").open() as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    there = _open(INSIDE)
    ways = {here: _Way(there), there: _Way(here)}
    signal.signal(signal.SIGUSR1, lambda *_: _spoil(ways.values(), Quality(*map(float, numbers))))
    print("ready", flush=True)  # noqa: T201 - for who waits
    while True:
        patience = min(way.give(time.monotonic()) for way in ways.values())
        ready, _, _ = select.select(list(ways), [], [], max(0.0, patience))
        for tun in ready:
            ways[tun].take(os.read(tun, PACKET), time.monotonic())


if __name__ == "__main__":
    main()
