"""Compression on the way: when it pays, and what comes out of it."""

import os
import time
import zlib
from pathlib import Path

import pytest
from ansible_collections.one.tm.plugins.module_utils import frames, packing
from hypothesis import given
from hypothesis import strategies as st
from streams import copy

MIB = 1 << 20
TEXT = b"".join(b"line %d of a file that is like text\n" % n for n in range(60000))[:MIB]
NOISE = os.urandom(MIB)


class Way:
    """A way of some speed, on which time is what it takes to pass and what zlib really takes."""

    def __init__(self, rate: float, mode: str = "auto") -> None:
        """Begin with a rate in bytes a second."""
        self.rate = rate
        self.now = 0.0
        self.packer = packing.Packer(mode, lambda: self.now + time.process_time())
        self.wire = 0

    def pass_on(self, block: bytes, reading: float = 0.001) -> bool:
        """Pass a block on, after a time for reading it; tell whether it was packed."""
        self.now += reading
        packed = self.packer.pack(memoryview(block))
        size = len(block) if packed is None else len(packed)
        self.now += size / self.rate
        self.packer.sent(len(block), size / self.rate)
        self.wire += size
        return packed is not None


def test_slow_way() -> None:
    """On 100 Mbit/s text goes packed from the second second on."""
    way = Way(12e6)
    packed = [way.pass_on(TEXT) for _ in range(400)]
    assert sum(packed) > 380
    assert way.wire < 100 * MIB


def test_fast_way() -> None:
    """On a way that takes more than zlib can give, nothing is packed."""
    way = Way(4e9)
    assert not any(way.pass_on(TEXT, reading=0.0) for _ in range(8000))


def test_slow_source() -> None:
    """Where the source is what is slow, nothing is packed."""
    way = Way(100e6)
    assert not any(way.pass_on(TEXT, reading=0.1) for _ in range(100))


def test_noise() -> None:
    """What cannot be compressed goes as it is, and seldom costs the attempt."""
    way = Way(12e6)
    assert not any(way.pass_on(NOISE) for _ in range(100))
    tried = Way(12e6, "always")
    assert not any(tried.pass_on(NOISE) for _ in range(100))


def test_becomes_fast() -> None:
    """A way that becomes fast is noticed: packing ends."""
    way = Way(12e6)
    assert [way.pass_on(TEXT) for _ in range(100)][-1]
    way.rate = 4e9
    assert not all(way.pass_on(TEXT, reading=0.0) for _ in range(1000))


def test_modes() -> None:
    """Never is never, always is always where it makes a block smaller."""
    assert not any(Way(1e3, "never").pass_on(TEXT) for _ in range(3))
    assert all(Way(4e9, "always").pass_on(TEXT) for _ in range(3))


@pytest.mark.parametrize("mode", packing.MODES)
def test_what_comes_out(tmp_path: Path, mode: str) -> None:
    """Text, noise and zeros arrive as they are, in every mode."""
    source = tmp_path / "base.img"
    source.write_bytes(TEXT + NOISE + bytes(MIB) + TEXT + NOISE[:100])
    copied = copy(source, tmp_path / "disk.0", compression=mode)
    assert (tmp_path / "disk.0").read_bytes() == source.read_bytes()
    assert copied.result["bytes"] < 4 * MIB
    assert (copied.sent < 3 * MIB) == (mode == "always")


@given(st.binary(max_size=3000))
def test_any_bytes_unpack(data: bytes) -> None:
    """What was packed unpacks; what is none raises our own error."""
    assert frames.unpack(zlib.compress(data, 1)) == data
    with pytest.raises(frames.DamageError):
        frames.unpack(data[:100])


@pytest.mark.parametrize("size", [frames.BLOCK_BYTES + 1, 100 * frames.BLOCK_BYTES])
def test_a_bomb(size: int) -> None:
    """A packed block that becomes more than a block is refused without unpacking it all."""
    with pytest.raises(frames.DamageError, match="wrong size"):
        frames.unpack(zlib.compress(bytes(size)))


def test_more_behind_a_packed_block() -> None:
    """Bytes behind the end of a packed block are damage."""
    with pytest.raises(frames.DamageError, match="wrong size"):
        frames.unpack(zlib.compress(b"x") + b"more")
