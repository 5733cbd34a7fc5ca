"""The side that reads a stream: what comes, where it goes, and what is said of it in the end."""

import contextlib
import functools
import os
from typing import Any, BinaryIO, Dict, Optional, Tuple

from ansible_collections.one.tm.plugins.module_utils import (
    arrival,
    attributes,
    cache,
    caching,
    copying,
    directories,
    entries,
    formats,
    frames,
    identity,
    pace,
    partial,
    placing,
    policy,
    room,
)
from ansible_collections.one.tm.plugins.module_utils.errors import TmError, sentence
from ansible_collections.one.tm.plugins.module_utils.telling import Tell, Telling

__metaclass__ = type


class Receiver:
    """Receives one file or directory.

    Attributes of ``config``: ``source_host`` and ``source``, name and path that the controller
    asked for, whatever the sender says; ``destination``, ``into``, ``move``, ``mode``, ``owner``,
    ``group``, ``check``; of ``policy.ARGUMENTS``; ``source_dirs`` and ``format``, of
    ``formats.rules_of``; ``cache``, of ``caching.Caching``; ``token``, with which a cancelled
    stream ends; ``local``, whether a source on this very host is only to be told;
    ``bandwidth_mib`` of this host.
    """

    def __init__(self, config: Dict[str, Any], reader: frames.FrameReader, tell: Tell) -> None:
        """Take where to put it, where to read, and whom to tell."""
        self._config = config
        self._reader = reader
        self._telling = Telling(tell, pace.Pacer(config.get("bandwidth_mib") or 0))
        self._attributes = attributes.Attributes(config["mode"], config["owner"], config["group"])

    def run(self) -> Dict[str, Any]:
        """Take the offer, answer it, and receive what was asked for.

        Returns:
            what the action's result says; ``same_host`` alone if that was asked for and is so.

        Raises:
            TmError: nothing was made; ``SourceError`` if the sender said why.
            OSError: nothing was made.
        """
        offer = self._offer()
        if self._config.get("local") and identity.is_here(offer.host):
            return {"same_host": True}
        place = placing.find_place(self._config, offer)
        if offer.found is None:
            return self._gone(offer, place)
        result = self._result(offer.found, place)
        if place.there and place.there.is_same_place(offer.found):
            return dict(result, changed=False, same=True)
        if self._is_complete(place, offer.found):
            return dict(result, changed=self._set_attributes(place.final), complete=True)
        self._check_unused(place.final)
        self._check_saved(place.final, offer.found)
        placing.check_fits(place, offer.found)
        formats.check_here(offer.path, offer.backing, formats.rules_of(self._config))
        if self._config["check"]:
            self._need_room(place.final, offer.found.data)
        else:
            result.update(self._receive(offer, offer.found, place.final))
        return dict(result, changed=not result["same"], bytes=self._telling.received)

    def _is_complete(self, place: placing.Place, found: entries.Tree) -> bool:
        if self._config["move"] or not (place.there and found.is_complete_copy(place.there)):
            return False
        return copying.is_alone(os.lstat(place.final))

    def _offer(self) -> placing.Offer:
        self._reader.skip_noise()
        return placing.offer_of(self._reader.json(self._reader.expect(frames.HEADER)))

    def _need_room(self, final: str, needed: int) -> None:
        """Refuse to begin what cannot fit; what an earlier run left of it counts as free."""
        room.need_room(os.path.dirname(final), needed - partial.left_bytes(final))

    def _receive(self, offer: placing.Offer, found: entries.Tree, final: str) -> Dict[str, Any]:
        name = os.path.basename(offer.path)
        kept = caching.Caching(self._config.get("cache"), name, self._telling)
        with kept.held(self._key(offer, found), found.data):
            pace = self._config.get("bandwidth_mib") or 0
            cached = kept.copy_to(final, self._attributes_of(found.root), pace)
            if cached:
                return {"cached": cached}
            self._need_room(final, found.data)
            is_file = found.root.type == entries.FILE
            source = partial.source_of(*self._where(offer), found.root) if is_file else ""
            keep = kept.keep if kept.is_wanted else None
            check = functools.partial(self._check_unused, final)
            arriving = arrival.Arrival(self._reader, self._telling, self._attributes, keep, check)
            same = not arriving.receive(found, final, source)
            return {"same": same, "resumed": arriving.resumed}

    def _check_unused(self, final: str) -> None:
        if self._config["move"]:
            policy.check_unused(final, policy.policy_of(self._config))

    def _check_saved(self, final: str, found: entries.Tree) -> None:
        if self._config["move"]:
            names = (entry.path for entry in found.entries)
            policy.check_saved(final, names, policy.policy_of(self._config))

    def _key(self, offer: placing.Offer, found: entries.Tree) -> str:
        """Return the name that the source has in the cache; nothing if it has none."""
        if self._config["move"] or not offer.is_settled:
            return ""
        return cache.key_of(*self._where(offer), found.root)

    def _where(self, offer: placing.Offer) -> Tuple[str, Dict[str, str], str]:
        """Return which source it is: what the controller asked for, and what its host says."""
        return self._config["source_host"], offer.host, offer.path

    def _attributes_of(self, entry: entries.Entry) -> attributes.Attributes:
        """Return mode and owner of an image; where no mode is asked for, its source's."""
        mode = self._attributes.mode
        return self._attributes._replace(mode=mode or entry.mode & 0o777)

    def _gone(self, offer: placing.Offer, place: placing.Place) -> Dict[str, Any]:
        """Succeed if the source was moved here earlier, as a repeated script finds it."""
        if self._config["move"] and place.there is not None:
            result = self._result(place.there, place)
            return dict(result, changed=False, gone=True, state=entries.Tree([]).state())
        raise frames.SourceError("no such file: %s" % offer.path)

    def _result(self, found: entries.Tree, place: placing.Place) -> Dict[str, Any]:
        count = sum(entry.type == entries.FILE for entry in found.entries)
        return {
            "destination": place.final,
            "type": found.root.type,
            "files": count,
            "size": found.size,
            "bytes": 0,
            "complete": False,
            "same": False,
            "gone": False,
            "cached": "",
            "resumed": 0,
            "state": found.state(),
        }

    def _set_attributes(self, final: str) -> bool:
        """Give a complete image the mode and owner that it should have; tell if that changed it."""
        with directories.anchored(final) as place:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            before = os.fstat(descriptor)
            if not self._config["check"]:
                attributes.set_attributes(descriptor, self._attributes, fresh=False)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return (before.st_mode, before.st_uid, before.st_gid) != (
            after.st_mode,
            after.st_uid,
            after.st_gid,
        )

    @property
    def destination(self) -> str:
        """Return the path that was asked for, for messages."""
        return str(self._config["destination"])

    @property
    def received(self) -> int:
        """Return how many bytes of data have come."""
        return self._telling.received


def run(config: Dict[str, Any], file: BinaryIO, tell: Tell) -> bool:
    """Receive a stream and tell how it went.

    Args:
        config: where to put it, see ``Receiver``.
        file: the stream.
        tell: passes messages on: ``answer``, ``progress``, ``log``, then ``result`` or ``error``.

    Returns:
        Whether it went well; if not, there may be more in the stream.
    """
    reader = frames.FrameReader(file, config.get("token") or "")
    receiver = Receiver(config, reader, tell)
    try:
        tell({"result": _run(receiver, reader)})
        return True
    except TmError as error:
        tell({"error": _error(receiver, error, error.message, error.detail)})
    except OSError as error:
        tell({"error": _error(receiver, None, sentence(error), [])})
    return False


def _run(receiver: Receiver, reader: frames.FrameReader) -> Dict[str, Any]:
    try:
        return receiver.run()
    except frames.DamageError as error:
        with contextlib.suppress(frames.StreamEndError, frames.DamageError):
            reader.raise_reason()
        destination = receiver.destination
        raise TmError("%s: %s; try again" % (destination, error.message)) from error


def _error(
    receiver: Receiver, error: Optional[TmError], message: str, detail: Any
) -> Dict[str, Any]:
    lost = isinstance(error, frames.StreamEndError)
    side = "source" if lost or isinstance(error, frames.SourceError) else "destination"
    return {
        "side": side,
        "lost": lost,
        "bytes": receiver.received,
        "message": message,
        "detail": list(detail),
    }
