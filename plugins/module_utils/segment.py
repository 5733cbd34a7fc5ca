"""The digest of a segment: of what was sent of a file since its begin or the last segment."""

import hashlib
import struct

__metaclass__ = type

BLOCK = struct.Struct(">QII")


class SegmentDigest:
    """SHA-256 over the place, length and check of each block, and over where it all ends.

    Each block is proven by its own check; this finds blocks that are missing, doubled or out of
    order, and costs nothing beside the data.
    """

    def __init__(self, begin: int) -> None:
        """Begin at an offset in bytes."""
        self._hash = hashlib.sha256(b"%d:" % begin)

    def add(self, offset: int, length: int, check: int) -> None:
        """Take a block."""
        self._hash.update(BLOCK.pack(offset, length, check))

    def finish(self, end: int) -> bytes:
        """Return the digest of a segment that ends at an offset in bytes."""
        self._hash.update(b":%d" % end)
        return self._hash.digest()
