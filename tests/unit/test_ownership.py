"""Whose directory an action's words lead to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.endpoint import Endpoint
from tm_ansible.errors import ScriptError
from tm_ansible.ownership import check_owner
from tm_ansible.script import Verb

ROOTS = ["/srv/one//var/", "/vms"]


def check(verb: Verb, vm_id: int = 7, **paths: str) -> None:
    """Judge an action of a VM."""
    places = {f"tm_{role}": Endpoint("node1", path) for role, path in paths.items()}
    check_owner(vm_id, verb, places, ROOTS)


@pytest.mark.parametrize("verb", [Verb.CLONE, Verb.LN, Verb.MKSWAP, Verb.MKIMAGE, Verb.MV])
@pytest.mark.parametrize("path", ["/srv/one/var/8/images/disk.0", "/vms/8", "/vms/07/disk.0"])
def test_a_destination_of_another_vm_is_refused(verb: Verb, path: str) -> None:
    """Whatever the verb, and below each of the directories; the reason names both VMs."""
    with pytest.raises(ScriptError, match=r"destination node1:/.*it is VM (8|07)'s.*for VM 7;"):
        check(verb, destination=path)


@pytest.mark.parametrize("verb", [Verb.DELETE, Verb.MV])
def test_nothing_is_taken_from_another_vm(verb: Verb) -> None:
    """Where the source goes away."""
    with pytest.raises(ScriptError, match="refused the source node1:/vms/8/images"):
        check(verb, source="/vms/8/images", destination="/vms/7/images")


@pytest.mark.parametrize("verb", [Verb.CLONE, Verb.LN, Verb.MKIMAGE])
def test_a_source_that_stays_may_be_anybody_s(verb: Verb) -> None:
    """The host that has it judges it; a saved disk is an image."""
    check(verb, source="/vms/8/disk.0", destination="/vms/7/disk.0")


@pytest.mark.parametrize("path", ["/vms/7", "/vms/7/x", "/vms/images/8/x", "/vms2/8/x", "/8/x"])
def test_what_names_no_other_vm_passes(path: str) -> None:
    """The host judges the rest, by real paths and with its own settings."""
    check(Verb.MV, source=path, destination=path)


def test_at_a_prompt_every_vm_will_do() -> None:
    """No VM is named there."""
    check(Verb.DELETE, vm_id=-1, source="/vms/8/images")


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.text("ab/.", max_size=9))
def test_exactly_the_own_number_passes(vm_id: int, other: int, below: str) -> None:
    """Of any two VMs."""
    try:
        check(Verb.MKSWAP, vm_id=vm_id, destination=f"/vms/{other}/x{below}")
    except ScriptError:
        assert other != vm_id
    else:
        assert other == vm_id
