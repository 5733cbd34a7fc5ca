"""Where OpenNebula keeps its files."""

import os
from pathlib import Path

import pytest

from tm_ansible.errors import SettingsError
from tm_ansible.locations import Locations, front_end_names, locate, vm_dirs


def test_self_contained():
    """With ONE_LOCATION everything is below it."""
    root = Path("/srv/cloud/one")
    assert locate({"ONE_LOCATION": "/srv/cloud/one/"}) == Locations(
        root / "etc", root / "var", root / "lib", root / "var", root / "lib/mads", root
    )


@pytest.mark.parametrize("environment", [{}, {"ONE_LOCATION": ""}])
def test_system_wide(environment):
    """Without ONE_LOCATION the system's directories are meant."""
    assert locate(environment) == Locations(
        Path("/etc/one"),
        Path("/var/lib/one"),
        Path("/usr/lib/one"),
        Path("/var/log/one"),
        Path("/usr/lib/one/mads"),
        None,
    )


def test_a_relative_location_is_refused():
    """Oned changes its directory, so a relative path would mean another place."""
    with pytest.raises(SettingsError, match="ONE_LOCATION=one is not an absolute path"):
        locate({"ONE_LOCATION": "one"})


@pytest.mark.parametrize(
    ("conf", "named"),
    [
        (b'VM_DIR = "/srv/vms"\n', ["/srv/vms"]),
        (b"PORT=1\nvm_dir=//srv//vms/ # x\n", ["/srv/vms"]),
        (b"PORT = 1\n", []),
        (b"#VM_DIR=/srv/vms\n", []),
        (b"VM_DIR = vms\n", []),
        (b'VM_DIR = ""\n', []),
        (b"VM_DIR = /srv/vms\nTM_MAD = [\n", []),
        (b'X = "\xff"\nVM_DIR=/srv/vms', ["/srv/vms"]),
        (None, []),
    ],
)
def test_vm_dirs(tmp_path, conf, named):
    """VM_DIR of a readable oned.conf is added to var."""
    locations = locate({"ONE_LOCATION": str(tmp_path)})
    if conf is not None:
        locations.etc.mkdir()
        (locations.etc / "oned.conf").write_bytes(conf)
    assert vm_dirs(locations) == (tmp_path / "var", *map(Path, named))


def test_vm_dir_that_is_var(tmp_path):
    """A VM_DIR that says the same is not listed twice."""
    locations = locate({"ONE_LOCATION": str(tmp_path)})
    locations.etc.mkdir()
    (locations.etc / "oned.conf").write_text(f"VM_DIR={tmp_path}//var/\n")
    assert vm_dirs(locations) == (tmp_path / "var",)


def test_front_end_names():
    """This machine's names come first, each once, then the site's."""
    host = os.uname().nodename
    names = front_end_names(["fe", "localhost", "fe"])
    assert names[:2] == ("localhost", "127.0.0.1")
    assert {host, host.split(".")[0]} <= set(names)
    assert names[-1] == "fe"
    assert len(set(names)) == len(names)
