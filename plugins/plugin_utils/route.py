"""The way that an image takes: within one host, straight, or through the front-end."""

import os
from typing import Any, Dict

from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.module_utils.policy import ARGUMENTS as POLICY
from ansible_collections.one.tm.plugins.plugin_utils import direct, far_step
from ansible_collections.one.tm.plugins.plugin_utils.closed import Closed
from ansible_collections.one.tm.plugins.plugin_utils.direct import Direct, End, NoWayError
from ansible_collections.one.tm.plugins.plugin_utils.progress import Progress
from ansible_collections.one.tm.plugins.plugin_utils.relay import Part, Relay

__metaclass__ = type

__all__ = ["End", "Route"]

# What a step within one host has not done.
NOTHING = {"bytes": 0, "gone": False, "resumed": 0, "cached": "", "state": ""}


class Route:
    """Carries an image from one end to the other."""

    def __init__(
        self, source: End, destination: End, progress: Progress, options: Dict[str, Any]
    ) -> None:
        """Take what is carried.

        Args:
            source: the sending end.
            destination: the receiving end.
            progress: shows it.
            options: of the action: ``route``, ``silence``, ``front_end_bandwidth_mib``, and the
                parameters of a step within one host.
        """
        self._source = source
        self._destination = destination
        self._progress = progress
        self._options = options
        self._passes_here = source.host.is_ssh and destination.host.is_ssh

    def carry(self) -> Dict[str, Any]:
        """Carry the image, by the best way that there is and that is allowed.

        Returns:
            The receiver's result, or that of a step within one host, with ``local`` set.

        Raises:
            TmError: it failed; nothing was made.
        """
        # A step within a host knows files; only a move knows directories too.
        has_step = self._options["move"] or not self._options["directories"]
        done = self._carry(has_step and self._has_one_policy())
        if done != {"same_host": True}:
            return done
        try:
            return self._within_the_host()
        except TmError as error:
            self._progress.say("not by the host itself: %s" % error.message)
            return self._carry(False)

    def _has_one_policy(self) -> bool:
        """Tell whether a step within one host would judge both paths as the two ends do."""
        source, destination = self._source.config, self._destination.config
        lists = ("source_dirs", *(key for key in POLICY if key != "vm_id"))
        return all(set(source[key] or ()) == set(destination[key] or ()) for key in lists)

    def _carry(self, has_step: bool) -> Dict[str, Any]:
        destination = dict(self._destination.config, local=has_step)
        ends = (self._source, self._destination._replace(config=destination))
        if not self._passes_here:
            return self._through_here(*ends)
        if self._options["route"] == "front_end":
            self._progress.say("going through the front-end (setting copies.route)")
            return self._through_here(*ends, self._options["front_end_bandwidth_mib"])
        if self._options["route"] == "direct":
            return self._only_straight(*ends)
        way = Closed(direct.way_of(*ends))
        reason = way.reason()
        if reason is None:
            try:
                return self._straight(*ends)
            except NoWayError as error:
                reason = error.message
                way.note(reason)
        self._progress.say("going through the front-end: %s" % reason)
        return self._through_here(*ends, self._options["front_end_bandwidth_mib"])

    def _only_straight(self, source: End, destination: End) -> Dict[str, Any]:
        try:
            return self._straight(source, destination)
        except NoWayError as error:
            allow = "mend that, or allow the front-end (setting copies.route)"
            raise TmError("%s; %s" % (error.message, allow), error.detail) from error

    def _straight(self, source: End, destination: End) -> Dict[str, Any]:
        way = "going straight from %s to %s" % (source.host.name, destination.host.name)
        carrier = Direct(self._progress.update, self._options["silence"])
        carrier.on_begin = lambda: self._progress.say(way)
        return carrier.run(*direct.parts(source, destination))

    def _through_here(self, source: End, destination: End, limit: int = 0) -> Dict[str, Any]:
        token = os.urandom(16).hex()
        receiving = dict(destination.config, token=token)
        carrier = Relay(self._progress.update, self._options["silence"], token, limit)
        return carrier.run(
            Part(source.host, "stream", ("send", source.config)),
            Part(destination.host, "stream", ("receive", receiving)),
        )

    def _within_the_host(self) -> Dict[str, Any]:
        """Do as the step would that a single name of the host had led to."""
        logic = "move" if self._options["move"] else "clone"
        check_mode = self._destination.config["check"]
        host = self._destination.host
        tell = lambda told: self._progress.update(**told["progress"])  # noqa: E731
        done = far_step.take(host, tell, logic, self._options, check_mode)
        if done.get("failed"):
            raise TmError(done["msg"], done.get("tm_detail", []))
        names = (self._source.host.name, host.name)
        self._progress.say("%s and %s are one host" % names)
        return {
            **NOTHING,
            "complete": not self._options["move"] and not done["changed"],
            "destination": done.get("path", self._options["destination"]),
            "same": self._options["move"] and not done["changed"],
            **done,
            "local": True,
        }
