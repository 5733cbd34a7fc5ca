"""Where OpenNebula keeps its files, self-contained or system-wide, and what oned.conf adds."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tm_ansible.errors import SettingsError
from tm_ansible.template import parse_template


@dataclass(frozen=True, slots=True)
class Locations:
    """The directories of an installation of OpenNebula.

    Attributes:
        etc: oned.conf and a directory for each driver.
        var: oned's working directory and, unless oned.conf names another, VM_DIR.
        lib: programs; the stock action scripts are below ``tm_commands``.
        log: where the drivers' own logs go.
        mads: the drivers' executables.
        root: ``$ONE_LOCATION``, or None for a system-wide installation.
    """

    etc: Path
    var: Path
    lib: Path
    log: Path
    mads: Path
    root: Path | None


def locate(environment: Mapping[str, str]) -> Locations:
    """Find the directories.

    Args:
        environment: that oned gives its drivers; only ``ONE_LOCATION`` is looked at.

    Returns:
        Those below ``$ONE_LOCATION`` if it is set, else the system-wide ones.

    Raises:
        SettingsError: ``ONE_LOCATION`` is a relative path.
    """
    named = environment.get("ONE_LOCATION", "")
    if not named:
        lib = Path("/usr/lib/one")
        log = Path("/var/log/one")
        return Locations(Path("/etc/one"), Path("/var/lib/one"), lib, log, lib / "mads", None)
    root = Path(named)
    if not root.is_absolute():
        raise SettingsError(f"ONE_LOCATION={named} is not an absolute path: set it to one")
    var, lib = root / "var", root / "lib"
    return Locations(root / "etc", var, lib, var, lib / "mads", root)


def vm_dirs(locations: Locations) -> tuple[Path, ...]:
    """Tell where VMs have their directories.

    Args:
        locations: of the installation.

    Returns:
        ``var`` and, if oned.conf can be read and sets another one, VM_DIR.
    """
    try:
        text = (locations.etc / "oned.conf").read_text("utf-8", "surrogateescape")
        named = parse_template(text).get("VM_DIR")
    except (OSError, SettingsError):
        named = None
    if not named or not named.startswith("/"):
        return (locations.var,)
    # normpath keeps two slashes in front, which mean one here.
    vm_dir = Path("/" + os.path.normpath(named).lstrip("/"))
    return (locations.var,) if vm_dir == locations.var else (locations.var, vm_dir)


def front_end_names(extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Tell which host names mean this machine, without asking any name service.

    Args:
        extra: names that a site adds.

    Returns:
        Each name once, ``localhost`` first.
    """
    host = os.uname().nodename
    names = ("localhost", "127.0.0.1", host, host.partition(".")[0], *extra)
    return tuple(dict.fromkeys(name for name in names if name))
