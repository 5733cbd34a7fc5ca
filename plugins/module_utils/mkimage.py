"""MKIMAGE on one host: an empty image of a size, or one populated from a directory."""

import os
from typing import Any, Callable, Dict, List, NamedTuple

from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes, attributes_of
from ansible_collections.one.tm.plugins.module_utils.directories import workplace
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.files import new_file, publish, temporary_name
from ansible_collections.one.tm.plugins.module_utils.mkswap import checked_size
from ansible_collections.one.tm.plugins.module_utils.paths import tidy
from ansible_collections.one.tm.plugins.module_utils.policy import check_destination, policy_of
from ansible_collections.one.tm.plugins.module_utils.programs import find, writing
from ansible_collections.one.tm.plugins.module_utils.programs import run as run_program
from ansible_collections.one.tm.plugins.module_utils.room import filling, need_room
from ansible_collections.one.tm.plugins.module_utils.signatures import look
from ansible_collections.one.tm.plugins.module_utils.sizes import MIB, human
from ansible_collections.one.tm.plugins.module_utils.survey import (
    FS_BLOCK,
    Survey,
    identity,
    opened,
    take,
)

EXT = ("ext2", "ext3", "ext4")
INODE_BYTES = 256
SPARE_INODES = 64
FIXED_BYTES = 2 * MIB
# The journal that mke2fs(8) chooses: up to so many MiB of file system, so many MiB of journal.
JOURNALS = ((8, 0), (128, 4), (1024, 16), (2048, 32), (16384, 64), (32768, 128), (65536, 256))
LARGEST_JOURNAL = 1024
ATTEMPTS = 6


class Maker(NamedTuple):
    """How an empty image of a kind is made.

    Attributes:
        program: what makes it; nothing for a file that is all hole.
        package: Debian package that has it.
        words: arguments before the file's name.
    """

    program: str = ""
    package: str = ""
    words: "tuple[str, ...]" = ()


MAKERS = {
    "ext2": Maker("mke2fs", "e2fsprogs", ("-q", "-F", "-t", "ext2")),
    "ext3": Maker("mke2fs", "e2fsprogs", ("-q", "-F", "-t", "ext3")),
    "ext4": Maker("mke2fs", "e2fsprogs", ("-q", "-F", "-t", "ext4")),
    "xfs": Maker("mkfs.xfs", "xfsprogs", ("-q", "-f")),
    "vfat": Maker("mkfs.vfat", "dosfstools"),
    "swap": Maker("mkswap", "util-linux"),
    "qcow2": Maker("qemu-img", "qemu-utils", ("create", "-q", "-f", "qcow2")),
    "raw": Maker(),
}


def run(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """Make an image unless it is there.

    An empty image is known again by its kind and size, one of a directory by its identity (see
    ``survey``).

    Args:
        params: destination, filesystem, mode, owner, group, those of ``policy.ARGUMENTS``;
            size_mib, or source, source_dirs, slack_percent and perhaps uuid and source_name.
        check_mode: only tell what would be done.

    Raises:
        TmError: a path, size or file system is refused, or a program is missing or failed.
    """
    if params["filesystem"] not in MAKERS:
        known = ", ".join(sorted(MAKERS))
        raise TmError("no file system %s is known; there are %s" % (params["filesystem"], known))
    attributes = attributes_of(params)
    destination = check_destination(params["destination"], policy_of(params))
    make = _populated if params["source"] is not None else _empty
    return make(params, destination, attributes, check_mode)


def _result(changed: bool, check_mode: bool, text: str) -> Dict[str, Any]:
    done = "would make" if check_mode else "made"
    return {"changed": changed, "tm_log": ["%s %s" % (done, text) if changed else text]}


def _empty(
    params: Dict[str, Any], destination: str, attributes: Attributes, check_mode: bool
) -> Dict[str, Any]:
    kind, name = params["filesystem"], os.path.basename(destination)
    size = checked_size(params["size_mib"], destination)
    there = look(destination)
    if there and there.size == size and kind in ("raw", there.kind):
        return _result(False, check_mode, "%s image %s is already there" % (kind, name))
    argv = _command(kind, size)
    if not check_mode:
        with writing(destination):
            _make(destination, size, attributes, lambda work: _fill(argv, work, kind, size))
    return _result(True, check_mode, "%s image %s, %s" % (kind, name, human(size)))


def _command(kind: str, size: int) -> "Callable[[str], List[str]]":
    maker = MAKERS[kind]
    program = find(maker.program, maker.package) if maker.program else ""
    last = [str(size)] if kind == "qcow2" else []
    return lambda file: [program, *maker.words, file, *last] if program else []


def _fill(command: Callable[[str], List[str]], work: str, kind: str, size: int) -> None:
    if kind != "qcow2":
        os.truncate(work, size)
    argv = command("./" + os.path.basename(work))
    if argv:
        run_program(argv, os.path.dirname(work))


def _make(destination: str, size: int, attributes: Attributes, fill: Callable[[str], None]) -> None:
    """Have a function fill a temporary file, given its path, and publish that."""
    place = workplace(destination, attributes)
    full = filling(os.path.dirname(destination), size)
    with place as final, about(destination), full, new_file(final):
        work = temporary_name(final)
        fill(work)
        publish(work, final, attributes)


def _populated(
    params: Dict[str, Any], destination: str, attributes: Attributes, check_mode: bool
) -> Dict[str, Any]:
    kind = params["filesystem"]
    if kind not in EXT:
        raise TmError(
            "an image of a directory can have %s, not %s; make an empty one and fill it in the VM"
            % (", ".join(EXT), kind)
        )
    with opened(tidy(params["source"]), policy_of(params)) as source:
        return _populated_from(source, params, destination, attributes, check_mode)


def _populated_from(
    source: str,
    params: Dict[str, Any],
    destination: str,
    attributes: Attributes,
    check_mode: bool,
) -> Dict[str, Any]:
    kind, name = params["filesystem"], os.path.basename(destination)
    shown = params.get("source_name") or tidy(params["source"])
    survey = take(source, shown)
    uuid = params["uuid"] or identity(survey, params["destination"], kind)
    there = look(destination)
    if there and there.uuid == uuid:
        text = "%s image %s already has the files of %s" % (kind, name, shown)
        return _result(False, check_mode, text)
    slack = params["slack_percent"]
    size = image_size(survey, slack, kind)
    program = find("mke2fs", "e2fsprogs")
    if not check_mode:
        need_room(os.path.dirname(destination), survey.size)
        argv = [program, "-q", "-F", "-t", kind, "-b", str(FS_BLOCK), "-m", "0", "-U", uuid]
        argv += ["-I", str(INODE_BYTES), "-N", str(inodes(survey, slack)), "-d", source]
        _make(destination, size, attributes, lambda work: _populate(argv, work, size))
        size = os.path.getsize(destination)
    text = (
        "%s image %s of %s, %s: %s of files in %d entries, the file system's own, and %d %% slack"
    )
    values = (kind, name, shown, human(size), human(survey.size), survey.entries, slack)
    return _result(True, check_mode, text % values)


def _populate(argv: List[str], work: str, size: int) -> None:
    """Make a file system with the files; grow it while they do not fit by some blocks."""
    for attempt in range(ATTEMPTS):
        os.truncate(work, 0)
        os.truncate(work, size)
        try:
            run_program([*argv, "./" + os.path.basename(work)], os.path.dirname(work))
            return
        except TmError as error:
            text = " ".join([error.message, *error.detail]).lower()
            if attempt == ATTEMPTS - 1 or ("allocat" not in text and "space" not in text):
                raise
        size = _whole_mib(size + size // 8)


def image_size(survey: Survey, slack_percent: int, kind: str) -> int:
    """Return the size in bytes of an image for files.

    It is the files' blocks and inodes and the slack upon both, then what ext needs for itself:
    bitmaps and group descriptors (1/64), the journal, and 2 MiB.

    Args:
        survey: the files.
        slack_percent: room left in the file system, in percent of what the files need.
        kind: ext2 has no journal.
    """
    needed = survey.size + inodes(survey, 0) * INODE_BYTES
    needed += needed * slack_percent // 100
    needed += needed // 64 + FIXED_BYTES
    return _whole_mib(needed + (0 if kind == "ext2" else _journal(needed)))


def inodes(survey: Survey, slack_percent: int) -> int:
    """Return how many inodes an image gets: its entries, the slack, and some to spare."""
    return survey.entries * (100 + slack_percent) // 100 + SPARE_INODES


def _journal(size: int) -> int:
    for limit, journal in JOURNALS:
        if size + journal * MIB < limit * MIB:
            return journal * MIB
    return LARGEST_JOURNAL * MIB


def _whole_mib(size: int) -> int:
    return -(-size // MIB) * MIB
