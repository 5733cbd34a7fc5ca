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
        plan.plan(MV, WAYS, "node1", {})
    planned = plan.plan({**MV, "source": "node1:/var/a"}, WAYS, "node1", {})
    assert (planned.plugin, planned.arguments["source"]) == ("one.tm.move", "/var/a")


def test_a_disk_is_saved_into_a_repository_though_directories_are_shared() -> None:
    """A DELETE of the VM's images follows; only what stays among them is left in its place."""
    shared = {**WAYS, "vm_dir_shared": True}
    disk = {**MV, "source": "fe:/var/7/images/disk.3"}
    saved = plan.plan({**disk, "destination": "fe:/srv/images/saved.img"}, shared, "localhost", {})
    assert (saved.plugin, saved.arguments["format"]) == ("one.tm.move", "probe")
    stays = plan.plan({**disk, "destination": "fe:/vms/7/images/disk.3"}, shared, "localhost", {})
    assert stays.plugin == "one.tm.log"
