"""What a file holds, by the signatures of its format: no program is needed to tell."""

import os
import stat
import struct
import uuid
from typing import NamedTuple, Optional

PAGE_SIZES = (4096, 8192, 16384, 65536)
EXT_HAS_JOURNAL = 0x0004
EXT_EXTENTS = 0x0040


class Content(NamedTuple):
    """What was found.

    Attributes:
        kind: ``ext4``, ``xfs``, ``vfat``, ``swap``, ``qcow2``; ``raw`` if there is no signature.
        size: what a guest sees, in bytes.
        uuid: an ext file system's identity, else nothing.
    """

    kind: str
    size: int
    uuid: str = ""


def look(path: str) -> Optional[Content]:
    """Return what a file holds, or None where there is no regular file.

    Args:
        path: where it is; a symbolic link is not followed.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
    except FileNotFoundError:
        return None
    with open(path, "rb") as stream:
        head = stream.read(max(PAGE_SIZES))
        size = stream.seek(0, os.SEEK_END)
    return _qcow2(head) or _ext(head, size) or Content(_other(head), size)


def _qcow2(head: bytes) -> Optional[Content]:
    """Read a qcow2 header (QEMU's docs/interop/qcow2.txt): magic, and size at offset 24."""
    if len(head) < 32 or head[:4] != b"QFI\xfb":
        return None
    return Content("qcow2", struct.unpack(">Q", head[24:32])[0])


def _ext(head: bytes, size: int) -> Optional[Content]:
    """Read an ext superblock (Linux's Documentation/filesystems/ext4/super.rst) at offset 1024."""
    block = head[1024:2048]
    if len(block) < 1024 or block[56:58] != b"\x53\xef":
        return None
    compatible, incompatible = struct.unpack("<II", block[0x5C:0x64])
    kind = "ext3" if compatible & EXT_HAS_JOURNAL else "ext2"
    if incompatible & EXT_EXTENTS:
        kind = "ext4"
    return Content(kind, size, str(uuid.UUID(bytes=block[0x68:0x78])))


def _other(head: bytes) -> str:
    if head[:4] == b"XFSB":
        return "xfs"
    if any(head[size - 10 : size] == b"SWAPSPACE2" for size in PAGE_SIZES):
        return "swap"  # mkswap(8): at the end of the first page, whatever its size
    if head[510:512] == b"\x55\xaa" and (head[54:57] == b"FAT" or head[82:85] == b"FAT"):
        return "vfat"  # Microsoft's FAT specification: BS_FilSysType of FAT12/16 and of FAT32
    return "raw"
