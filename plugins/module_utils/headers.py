"""The headers of disk image formats: which format a file is in, and which other files it names.

No program is asked, and nothing but the file itself is read. The signatures are those by which
QEMU's drivers know the formats in which an image can build on other files (block/*.c); what has
none of them is ``raw`` here.
"""

import os
import re
import struct
from typing import Iterator, NamedTuple, Tuple

from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

RAW = "raw"
HEAD_BYTES = 1 << 16
NAME_BYTES = 1023
EXTENSION_BACKING_FORMAT = 0xE2792ACA
EXTENSION_DATA_FILE = 0x44415441
INCOMPATIBLE_DATA_FILE = 1 << 2
QED_BACKING_FILE = 1 << 0
VHD_DIFFERENCING = 4
VDI_DIFFERENCING = 4

# Name of the format, offset and bytes of each signature.
SIGNATURES = (
    ("qcow", 0, b"QFI\xfb\0\0\0\1"),
    ("qcow2", 0, b"QFI\xfb\0\0\0\2"),
    ("qcow2", 0, b"QFI\xfb\0\0\0\3"),
    ("qed", 0, b"QED\0"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("vpc", 0, b"conectix"),
    ("vhdx", 0, b"vhdxfile"),
)
# What may precede the version in the text that describes a VMDK: comments and blank lines.
VMDK_TEXT = re.compile(rb"(?:#[^\n]*\n| *\r?\n)*version=[123]\r?\n")


class HeaderError(TmError):
    """A header that contradicts itself, or an image whose data lie elsewhere."""


class Header(NamedTuple):
    """What a header says.

    Attributes:
        format: QEMU's name of it; ``raw`` if there is no signature.
        backing: name of the backing file as it stands there; empty if there is none.
        backing_format: format recorded for the backing file; empty if none is.
    """

    format: str
    backing: str = ""
    backing_format: str = ""


def read(descriptor: int) -> Header:
    """Read the header of an image.

    Args:
        descriptor: open for reading.

    Raises:
        HeaderError: it is damaged, or its data lie in other files.
    """
    head = os.pread(descriptor, HEAD_BYTES, 0)
    formats = {name for name, at, bytes_ in SIGNATURES if head.startswith(bytes_, at)}
    if VMDK_TEXT.match(head):
        raise HeaderError("it is a VMDK description, whose data lie in other files")
    if head.startswith(b"QFI\xfb") and not formats & {"qcow", "qcow2"}:
        raise HeaderError("its qcow2 header is of an unknown version")
    if len(formats) > 1:
        raise HeaderError("it has signatures of several formats: %s" % ", ".join(sorted(formats)))
    name = formats.pop() if formats else RAW
    try:
        return READERS.get(name, _plain)(descriptor, head, name)
    except struct.error:
        raise HeaderError("its %s header is cut off" % name) from None


def _plain(_descriptor: int, _head: bytes, name: str) -> Header:
    return Header(name)


def _qcow(descriptor: int, head: bytes, name: str) -> Header:
    """Read a header of the first version, which has names where the others have them."""
    offset, length = struct.unpack_from(">QI", head, 8)
    return Header(name, _name(descriptor, offset, length))


def _qcow2(descriptor: int, head: bytes, name: str) -> Header:
    """Read a header by QEMU's docs/interop/qcow2.rst; all of it lies in the first cluster."""
    version, offset, length, bits = struct.unpack_from(">IQII", head, 4)
    if not 9 <= bits <= 21:
        raise HeaderError("its qcow2 header is damaged: clusters of 2^%d bytes" % bits)
    cluster = os.pread(descriptor, 1 << bits, 0)
    if offset + length > 1 << bits:
        raise HeaderError("its qcow2 header is damaged: the backing file's name lies elsewhere")
    features, start = 0, 72
    if version == 3:
        features = struct.unpack_from(">Q", cluster, 72)[0]
        start = struct.unpack_from(">I", cluster, 100)[0]
    extensions = dict(_extensions(cluster[: offset or None], start))
    if features & INCOMPATIBLE_DATA_FILE or EXTENSION_DATA_FILE in extensions:
        data = os.fsdecode(extensions.get(EXTENSION_DATA_FILE, b""))
        raise HeaderError("its data lie in another file, %s" % ascii(data))
    backing_format = os.fsdecode(extensions.get(EXTENSION_BACKING_FORMAT, b""))
    return Header(name, _name(descriptor, offset, length), backing_format)


def _extensions(cluster: bytes, offset: int) -> Iterator[Tuple[int, bytes]]:
    """Yield type and data of header extensions."""
    while offset + 8 <= len(cluster):
        type_, length = struct.unpack_from(">II", cluster, offset)
        if type_ == 0:
            return
        if length > len(cluster) - offset - 8:
            raise HeaderError("its qcow2 header is damaged: an extension of %d bytes" % length)
        yield type_, cluster[offset + 8 : offset + 8 + length]
        offset += 8 + (length + 7) // 8 * 8
    if offset > len(cluster):
        raise HeaderError("its qcow2 header is damaged: it is longer than a cluster")


def _qed(descriptor: int, head: bytes, name: str) -> Header:
    """Read a header by QEMU's docs/interop/qed_spec.rst."""
    features = struct.unpack_from("<Q", head, 16)[0]
    offset, length = struct.unpack_from("<II", head, 56)
    return Header(name, _name(descriptor, offset, length) if features & QED_BACKING_FILE else "")


def _vmdk(descriptor: int, head: bytes, name: str) -> Header:
    """Read a header of VMware's Virtual Disk Format 1.1; its text may name a parent."""
    text = head
    if head.startswith(b"KDMV"):
        capacity = struct.unpack_from("<Q", head, 12)[0]
        sector, _count = struct.unpack_from("<QQ", head, 28)
        if not capacity:
            raise HeaderError("it is a VMDK description, whose data lie in other files")
        if sector < 1 << 54:
            text += os.pread(descriptor, HEAD_BYTES, sector * 512)
    if b"parentfilenamehint" in text.lower():
        raise HeaderError("it is a VMDK that builds on another one")
    return Header(name)


def _vpc(_descriptor: int, head: bytes, name: str) -> Header:
    """Read the footer's copy of Microsoft's VHD specification: the disk type is at offset 60."""
    if struct.unpack_from(">I", head, 60)[0] == VHD_DIFFERENCING:
        raise HeaderError("it is a VHD that builds on another one")
    return Header(name)


def _vdi(_descriptor: int, head: bytes, name: str) -> Header:
    """Read a header as QEMU's block/vdi.c has it: the image type is at offset 0x4c."""
    if struct.unpack_from("<I", head, 0x4C)[0] == VDI_DIFFERENCING:
        raise HeaderError("it is a VDI that builds on another one")
    return Header(name)


READERS = {"qcow": _qcow, "qcow2": _qcow2, "qed": _qed, "vmdk": _vmdk, "vpc": _vpc, "vdi": _vdi}


def _name(descriptor: int, offset: int, length: int) -> str:
    """Return a file's name in a header; nothing if there is none."""
    if not offset or not length:
        return ""
    if length > NAME_BYTES or offset > 1 << 32:
        raise HeaderError("its header is damaged: a name of %d bytes at %d" % (length, offset))
    name = os.pread(descriptor, length, offset)
    if len(name) < length:
        raise HeaderError("its header is damaged: a name behind its end")
    return os.fsdecode(name)
