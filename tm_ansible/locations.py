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
        vm_dir = _read_vm_dir(locations)
    except SettingsError:  # doubt_of_vm_dir tells
        vm_dir = None
    return (locations.var,) if vm_dir in (None, locations.var) else (locations.var, vm_dir)


def doubt_of_vm_dir(locations: Locations) -> str:
    """Tell why VM_DIR of oned.conf is not known.

    Args:
        locations: of the installation.

    Returns:
        One line with the remedy; nothing when it is known, or oned.conf does not set it.
    """
    try:
        _read_vm_dir(locations)
    except SettingsError as error:
        return f"{error}; until then images are written, moved and removed in {locations.var} only"
    return ""


def _read_vm_dir(locations: Locations) -> Path | None:
    path = locations.etc / "oned.conf"
    try:
        named = parse_template(path.read_text("utf-8", "surrogateescape")).get("VM_DIR")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}: let us read it") from None
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}: correct it") from None
    if not named:
        return None
    # normpath keeps two slashes in front, which mean one here.
    vm_dir = "/" + os.path.normpath(named).lstrip("/")
    if not named.startswith("/") or vm_dir == "/" or not vm_dir.isprintable():
        shown = named.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise SettingsError(
            f"{path}: VM_DIR = {shown}: set an absolute path other than /, in UTF-8"
        )
    return Path(vm_dir)


def front_end_names(extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Tell which host names mean this machine, without asking any name service.

    Args:
        extra: names that a site adds.

    Returns:
        Each name once, ``localhost`` first.
    """
    host = os.uname().nodename
    names = ("localhost", "127.0.0.1", "::1", host, host.partition(".")[0], *extra)
    return tuple(dict.fromkeys(name for name in names if name))
