"""Where OpenNebula keeps its files."""

import os
from pathlib import Path

import pytest

from tm_ansible.errors import SettingsError
from tm_ansible.locations import Locations, doubt_of_vm_dir, front_end_names, locate, vm_dirs


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
        (b'VM_DIR = "/srv/\xff"', []),
        (b"VM_DIR = //.", []),
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


@pytest.mark.parametrize(
    ("conf", "part"),
    [
        (b'VM_DIR = "/srv/vms"\n', None),
        (b"PORT = 1\n", None),
        (None, None),
        (b"PORT = 1\nVM_DIR = /srv vms\n", "oned.conf: line 2: expected the end of the line"),
        (b"VM_DIR = vms\n", "VM_DIR = vms: set an absolute path other than /, in UTF-8"),
        (b"VM_DIR = /\n", "VM_DIR = /: set"),
        (b'VM_DIR = "/srv/\xff"', "VM_DIR = /srv/\\xff: set"),
    ],
)
def test_a_vm_dir_that_is_not_known_is_told(tmp_path, conf, part):
    """Where oned.conf cannot be used, one line says what is wrong and what follows."""
    locations = locate({"ONE_LOCATION": str(tmp_path)})
    locations.etc.mkdir()
    if conf is not None:
        (locations.etc / "oned.conf").write_bytes(conf)
    doubt = doubt_of_vm_dir(locations)
    if part is None:
        assert doubt == ""
    else:
        assert doubt.startswith(f"{locations.etc}/oned.conf: ")
        assert part in doubt
        assert doubt.isprintable()


def test_an_oned_conf_that_may_not_be_read_is_told(tmp_path):
    """What the system says is part of the line."""
    locations = locate({"ONE_LOCATION": str(tmp_path)})
    (locations.etc / "oned.conf").mkdir(parents=True)
    assert "oned.conf: cannot be read: Is a directory" in doubt_of_vm_dir(locations)


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
    assert names[:3] == ("localhost", "127.0.0.1", "::1")
    assert {host, host.split(".")[0]} <= set(names)
    assert names[-1] == "fe"
    assert len(set(names)) == len(names)
