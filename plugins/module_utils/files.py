"""New files appear whole or not at all: a temporary name, the right mode, a flush, a rename."""

import contextlib
import errno
import fcntl
import grp
import hashlib
import os
import pwd
import re
import stat
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from ansible_collections.one.tm.plugins.module_utils import lifeline
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, about
from ansible_collections.one.tm.plugins.module_utils.sizes import human

CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxX]*)")
MASKS = {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}


class Attributes(NamedTuple):
    """What a new image gets.

    Attributes:
        mode: as chmod takes it (``a+w``, ``0660``), or a number; None keeps what is there.
        owner: user name or number, or None.
        group: group name or number, or None.
    """

    mode: Optional[Union[str, int]] = None
    owner: Optional[str] = None
    group: Optional[str] = None


def umask() -> int:
    """Return the process's umask."""
    value = os.umask(0o022)
    os.umask(value)
    return value


def parse_mode(mode: Union[str, int], base: int, directory: bool = False) -> int:
    """Return permission bits as chmod(1) would set them.

    Args:
        mode: symbolic or octal text, or a number.
        base: the bits that a symbolic mode changes.
        directory: whether it is for a directory: an octal mode then lets those enter who may read.

    Raises:
        TmError: the text is no mode.
    """
    if isinstance(mode, int) or re.match(r"[0-7]{1,4}$", mode):
        bits = mode if isinstance(mode, int) else int(mode, 8)
        return bits | ((bits & 0o444) >> 2) if directory else bits
    bits = base
    for clause in mode.split(","):
        match = CLAUSE.match(clause)
        if not match or match.end() != len(clause):
            raise TmError("the mode %r is neither octal (0660) nor symbolic (a+w)" % mode)
        bits = _apply_clause(bits, match.group(1) or "a", match.group(2), match.group(3), directory)
    return bits


def _apply_clause(bits: int, who: str, operation: str, letters: str, directory: bool) -> int:
    mask = 0
    for letter in who:
        mask |= MASKS[letter]
    wanted = 0
    for letter in letters:
        if letter == "X" and not (directory or bits & 0o111):
            continue
        wanted |= {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0o111}[letter]
    if operation == "-":
        return bits & ~(wanted & mask)
    if operation == "=":
        bits &= ~mask
    return bits | (wanted & mask)


def owner_ids(attributes: Attributes) -> Tuple[int, int]:
    """Return user and group number of attributes; -1 keeps what is there.

    Raises:
        TmError: this host does not know the user or group.
    """
    return (
        _number(attributes.owner, "user", lambda name: pwd.getpwnam(name).pw_uid),
        _number(attributes.group, "group", lambda name: grp.getgrnam(name).gr_gid),
    )


def _number(name: Optional[str], kind: str, look_up: Callable[[str], int]) -> int:
    if name is None or name == "":
        return -1
    if str(name).isdigit():
        return int(name)
    try:
        return look_up(str(name))
    except KeyError:
        raise TmError(
            "this host knows no %s %s; create it or change the setting" % (kind, name)
        ) from None


def temporary_name(final: str, suffix: str = "part") -> str:
    """Return the name of ours beside a destination under which it is made.

    Args:
        final: the destination's path.
        suffix: what the temporary file is for.
    """
    directory, name = os.path.split(final)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return os.path.join(directory, ".tm-%s.%s" % (digest, suffix))


@contextlib.contextmanager
def new_file(final: str) -> Iterator[int]:
    """Give the descriptor of a temporary file beside a destination; it is gone after the block.

    What an earlier attempt left there is removed, unless that attempt is still under way. The
    descriptor's path is ``temporary_name(final)``; ``publish`` gives it its final name.

    Args:
        final: the destination's path; its directory exists.

    Raises:
        TmError: somebody else makes the same file now.
        OSError: it cannot be made.
    """
    path = temporary_name(final)
    clear(path, final)
    with lifeline.temporary(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, final)
            yield descriptor
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def new_directory(final: str) -> Iterator[str]:
    """Give the path of a temporary directory beside a destination; it is gone after the block.

    Args:
        final: the destination's path; its directory exists.

    Raises:
        TmError: somebody else makes the same destination now.
        OSError: it cannot be made.
    """
    path = temporary_name(final)
    clear(path, final)
    with lifeline.temporary(path):
        os.mkdir(path, 0o700)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _lock(descriptor, final)
            yield path
        finally:
            os.close(descriptor)


def clear(path: str, final: str) -> None:
    """Remove what an earlier attempt left under a name of ours.

    Args:
        path: the temporary name.
        final: the destination, for the message.

    Raises:
        TmError: the attempt is still under way.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        flags = os.O_RDONLY if stat.S_ISDIR(mode) else os.O_RDWR
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _lock(descriptor, final)
        finally:
            os.close(descriptor)
    lifeline.discard(path)


def _lock(descriptor: int, final: str) -> None:
    """Lock a temporary file for as long as it is open; file systems without locks are fine."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise TmError("%s is being made by another run; wait for its end" % final) from error


def publish(temporary: str, final: str, attributes: Attributes) -> None:
    """Give a finished file or tree its mode and owner, flush it, and give it its final name.

    Args:
        temporary: the finished file or tree, on the same file system.
        final: its name from now on; a file that has it is replaced, a directory too.
        attributes: mode and owner; a symbolic mode changes ``0666`` less the umask.

    Raises:
        TmError: ``temporary`` is no file or directory of ours.
        OSError: any of it failed; ``final`` is as it was.
    """
    descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with about(temporary):
            set_attributes(descriptor, attributes)
            os.fsync(descriptor)
        if not os.path.samestat(os.fstat(descriptor), os.lstat(temporary)):
            raise TmError("%s was replaced while it was made; try again" % temporary)
        rename(temporary, final)
    finally:
        os.close(descriptor)


def rename(source: str, final: str) -> None:
    """Rename durably; a directory in the way of a directory is removed.

    Raises:
        OSError: as rename(2) does; ``final`` is then as it was.
    """
    try:
        os.rename(source, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _replace_directory(source, final)
    for directory in sorted({os.path.dirname(source), os.path.dirname(final)}):
        flush_directory(directory)


def _replace_directory(source: str, final: str) -> None:
    old = replaced_name(final)
    lifeline.discard(old)
    os.rename(final, old)
    try:
        os.rename(source, final)
    except OSError:
        os.rename(old, final)
        raise
    lifeline.discard(old)


def replaced_name(final: str) -> str:
    """Return the name of ours that a replaced directory has until it is removed."""
    return temporary_name(final, "old")


def flush_directory(directory: str) -> None:
    """Have the names in a directory on the disk; file systems without this are fine."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            error.filename = directory
            raise
    finally:
        os.close(descriptor)


def set_attributes(descriptor: int, attributes: Attributes, fresh: bool = True) -> None:
    """Set owner, group and mode of an open file or directory.

    Args:
        descriptor: of the file or directory.
        attributes: what to set.
        fresh: whether a symbolic mode changes ``0666`` (``0777``) less the umask, as for a file
            just made, instead of the mode that is there.
    """
    user, group = owner_ids(attributes)
    if (user, group) != (-1, -1):
        os.fchown(descriptor, user, group)
    if attributes.mode not in (None, ""):
        now = os.fstat(descriptor).st_mode
        directory = stat.S_ISDIR(now)
        base = (0o777 if directory else 0o666) & ~umask() if fresh else stat.S_IMODE(now)
        os.fchmod(descriptor, parse_mode(attributes.mode, base, directory))


def make_directory(path: str, attributes: Attributes) -> List[str]:
    """Make a directory and those above it that are missing.

    Those that exist stay as they are. The last one gets the mode of the images in it, as the
    stock scripts did; all get their owner.

    Args:
        path: absolute path.
        attributes: mode and owner.

    Returns:
        the directories made, outermost first.

    Raises:
        OSError: one of them cannot be made.
    """
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            last = directory == missing[0]
            set_attributes(descriptor, attributes if last else attributes._replace(mode=None))
        finally:
            os.close(descriptor)
        flush_directory(os.path.dirname(directory))
    return missing[::-1]


def need_room(directory: str, needed: int) -> None:
    """Refuse to begin what cannot fit.

    Args:
        directory: where it is to go; it or a directory above it exists.
        needed: bytes that will be written.

    Raises:
        TmError: there is less room; the message has both numbers.
    """
    free = room(directory)
    if needed > free:
        raise TmError(
            "no space in %s: %s (%d bytes) needed, %s (%d bytes) free"
            % (directory, human(needed), needed, human(free), free)
        )


def room(directory: str) -> int:
    """Return the bytes that this user may still write below a directory, which may not exist."""
    state = _state(directory)
    return state.f_bavail * state.f_frsize


def capacity(directory: str) -> int:
    """Return the size in bytes of a directory's file system; the directory may not exist yet."""
    state = _state(directory)
    return state.f_blocks * state.f_frsize


def _state(directory: str) -> os.statvfs_result:
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return os.statvfs(directory)


def attributes_of(params: Mapping[str, Any]) -> Attributes:
    """Return the attributes among a module's parameters, checked.

    Raises:
        TmError: the mode is none, or this host does not know the owner or group.
    """
    attributes = Attributes(params.get("mode"), params.get("owner"), params.get("group"))
    owner_ids(attributes)
    if attributes.mode not in (None, ""):
        parse_mode(attributes.mode, 0)
    return attributes
