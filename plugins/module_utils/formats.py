"""Whether an image may be used: its format is declared or probed, and it names no file it must not.

QEMU opens what an image's header names, with the rights of whoever runs the VM, and a guest can
write such a header into its own disk (CVE-2024-32498 and its kin). So what a header names is
followed (``backing``), file by file, before anybody else does.
"""

import contextlib
import os
import stat
from typing import Any, Iterator, List, Mapping, Sequence

from ansible_collections.one.tm.plugins.module_utils import headers
from ansible_collections.one.tm.plugins.module_utils.backing import (
    FLATTEN,
    Backing,
    Rules,
    backing_path,
    chain,
    check_same,
    examine,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.policy import policy_of

__metaclass__ = type

# What modules and actions that import images take, as AnsibleModule's arguments.
CHOICES = ["probe", "raw", "qcow2"]
ARGUMENT = {"type": "str", "choices": CHOICES, "default": "probe"}


def rules_of(params: Mapping[str, Any], alone: bool = False) -> Rules:
    """Return the rules among a step's parameters: ``format``, and those of the path policy."""
    return Rules(
        params.get("format") or headers.RAW,
        tuple(params.get("source_dirs") or ()),
        alone,
        policy_of(params),
    )


def check_path(path: str, rules: Rules) -> List[Backing]:
    """Check an image by its path, see ``check``; what is no file or disk is left to others."""
    if rules.declared == headers.RAW:
        return []
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        has_contents = stat.S_ISREG(mode) or stat.S_ISBLK(mode)
        return check(path, descriptor, rules) if has_contents else []
    finally:
        os.close(descriptor)


def check(path: str, descriptor: int, rules: Rules) -> List[Backing]:
    """Check an image and everything that it builds on.

    Args:
        path: of the image.
        descriptor: of the image, open for reading.
        rules: what it may be and name.

    Returns:
        the files that it builds on, the nearest first.

    Raises:
        TmError: it is refused; the message names the rule and the remedy.
    """
    if rules.declared == headers.RAW:
        return []
    with _refusing(path):
        header = examine(path, descriptor)
        if rules.declared not in ("probe", header.format):
            raise TmError("it is %s, not %s; see tm_format" % (header.format, rules.declared))
        if header.backing:
            _check_backing_name(path, header, rules)
        return list(chain(path, header, rules))


def check_here(path: str, wanted: Sequence[Sequence[Any]], rules: Rules) -> None:
    """Check that the files that an image of another host builds on are here as well.

    Args:
        path: of the image, over there.
        wanted: what ``check`` gave there, as JSON.
        rules: of this host.

    Raises:
        TmError: one is missing, another, or may not be used here.
    """
    with _refusing(path):
        for row in wanted:
            check_same(Backing(*row), rules, path)


@contextlib.contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Let refusals name the image."""
    try:
        yield
    except TmError as error:
        raise TmError("refused the image %s: %s" % (path, error.message), error.detail) from error


def _check_backing_name(path: str, header: headers.Header, rules: Rules) -> None:
    """Refuse an image whose backing file could not be found from where it is going."""
    if rules.alone:
        raise TmError("it builds on another file, %s; %s" % (ascii(header.backing), FLATTEN))
    whole = backing_path(path, header.backing)
    if not header.backing.startswith("/"):
        raise TmError(
            "it names its backing file by a relative path, %s, which means nothing in another "
            "directory; name it in full (qemu-img rebase -u -b %s -F %s)"
            % (header.backing, whole, header.backing_format or "FORMAT")
        )
