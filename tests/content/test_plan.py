"""What an action of several becomes; the rest of it is proven by whole transfers."""

import pytest
from ansible_collections.one.tm.plugins.module_utils.errors import TmError
from ansible_collections.one.tm.plugins.plugin_utils import plan

WAYS = {
    "images_shared": False,
    "vm_dir_shared": False,
    "front_ends": ["fe"],
    "source_dirs": [],
    "allowed_dirs": ["/var"],
    "allowed_for": {},
    "own_paths": [],
    "vm_id": -1,
    "format": "probe",
    "bandwidth_mib": 0,
}
MV = {"action": "mv", "source": "fe:/var/a", "destination": "node1:/var/b"}


def test_a_move_between_hosts_is_no_move_within_one() -> None:
    """A source on another host is not looked for here, where it is found to be gone."""
    with pytest.raises(TmError, match="fe:/var/a is on another host"):
        plan.plan(MV, WAYS, "node1")
    planned = plan.plan({**MV, "source": "node1:/var/a"}, WAYS, "node1")
    assert (planned.plugin, planned.arguments["source"]) == ("one.tm.move", "/var/a")
