"""The receiver's way to this host's cache. Whatever is wrong with the cache, the copy goes on."""

import contextlib
import os
from typing import Any, Dict, Iterator, Optional

from ansible_collections.one.tm.plugins.module_utils import (
    cache,
    copying,
    frames,
    kept,
    meter,
    partial,
)
from ansible_collections.one.tm.plugins.module_utils.attributes import Attributes
from ansible_collections.one.tm.plugins.module_utils.blocks import Blocks
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, sentence
from ansible_collections.one.tm.plugins.module_utils.telling import Telling

__metaclass__ = type


class Caching:
    """One image and the cache.

    Attributes of ``config``: ``directory``, empty for none; ``size_gib``, ``age_days``; ``host``,
    what the host is called in messages.
    """

    def __init__(self, config: Optional[Dict[str, Any]], name: str, telling: Telling) -> None:
        """Take the settings, the image's name and whom to tell."""
        self._config = config or {}
        self._name = name
        self._telling = telling
        self._entry = None  # type: Optional[kept.Entry]

    @contextlib.contextmanager
    def held(self, key: str, data: int) -> Iterator[None]:
        """Have the image's entry for the block, once nobody else fills it.

        Args:
            key: of the entry, see ``cache.key_of``; empty for none.
            data: bytes that the image takes.
        """
        with contextlib.ExitStack() as stack:
            if key and self._config.get("directory"):
                with self._going_on("not taken from"):
                    self._enter(stack, key, data)
            yield

    def _enter(self, stack: contextlib.ExitStack, key: str, data: int) -> None:
        size = int(self._config["size_gib"]) * cache.GIB
        age = int(self._config["age_days"]) * cache.DAY_SECONDS
        all_ = cache.Cache(self._config["directory"], size, age)
        if all_.takes(data):
            with self._telling.heard(0):
                self._entry = stack.enter_context(all_.entry(key, self._tell_waiting))

    def copy_to(self, final: str, wanted: Attributes, mib_per_second: float) -> str:
        """Make the image of what is kept, if it is.

        Args:
            final: its path.
            wanted: its mode and owner.
            mib_per_second: the host's limit of bandwidth; 0 for none.

        Returns:
            ``reflink`` or ``copy``; nothing if it has to come from its source.
        """
        if self._entry is None or self._entry.source is None:
            return ""
        source = self._entry.source
        measured = meter.Meter(self._name, source.size, mib_per_second)
        try:
            with self._going_on("not copied from"), meter.heard_by(self._telling.tell):
                return "copy" if self._entry.copy(source, final, wanted, measured) else "reflink"
        except frames.DamageError as error:
            self._replace(error.message)
            return ""
        self._entry = None
        return ""

    def _replace(self, damage: str) -> None:
        """Throw the entry away, and fill it anew unless somebody else does."""
        self._say("%s is damaged in %s and thrown away: %s" % (self._name, self._where(), damage))
        with self._going_on("not kept in"):
            if self._entry and self._entry.throw_away():
                return
        self._entry = None

    @property
    def is_wanted(self) -> bool:
        """Tell whether what comes is to be kept."""
        return self._entry is not None and self._entry.source is None

    def keep(self, part: partial.Partial, path: str) -> None:
        """Keep a copy of an image that was proven and has not got its final name.

        Args:
            part: the image.
            path: its name of ours.

        Raises:
            TmError: the image itself is no longer what came.
        """
        if self._entry is None or part.blocks is None:
            return
        try:
            with self._going_on("not kept in"), self._telling.heard(0):
                self._fill(self._entry, part, part.blocks, path)
        except frames.DamageError as error:
            raise TmError(
                "%s: %s; look at the disk and the memory of this host" % (self._name, error.message)
            ) from error

    def _fill(self, entry: kept.Entry, part: partial.Partial, blocks: Blocks, path: str) -> None:
        state = os.fstat(part.descriptor)
        blocks.read_before(path, part.descriptor, part.offset)
        entry.fill(copying.Source(path, part.descriptor, state.st_size, state), blocks)

    def _tell_waiting(self) -> None:
        self._say("waiting: another transfer brings %s to %s" % (self._name, self._where()))

    @contextlib.contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """Tell of an error instead of raising it, but for damage."""
        try:
            yield
        except frames.DamageError:
            raise
        except TmError as error:
            self._say("%s is %s %s: %s" % (self._name, what, self._where(), error.message))
        except OSError as error:
            self._say("%s is %s %s: %s" % (self._name, what, self._where(), sentence(error)))

    def _where(self) -> str:
        return "the cache of %s" % self._config.get("host", "this host")

    def _say(self, text: str) -> None:
        self._telling.tell({"log": text})
