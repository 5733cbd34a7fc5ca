"""What a driver works by: action map, rc files and settings, found, read and checked together."""

import os
import pwd
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tm_ansible.actionmap import Program, find_map, read_map
from tm_ansible.content import ContentRoot, find_content
from tm_ansible.engine.job import RunOptions, Value
from tm_ansible.errors import SettingsError
from tm_ansible.locations import Locations, front_end_names, locate, vm_dirs
from tm_ansible.rcfile import read_rc
from tm_ansible.script import Verb
from tm_ansible.settings import Settings, load_settings
from tm_ansible.versions import ansible_core_version, check_ansible_core

__all__ = ["Configuration", "Program", "find_log", "load_configuration"]

# What a run may inherit: enough to find programs, keys and proxies, and no secret of oned's.
_INHERITED = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "SSH_AUTH_SOCK", "ONE_LOCATION")
)
_SYSTEM_PATH = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
_NICE = range(-20, 20)
# How often a copy tells where it is when nobody watches: often enough for any limit of silence.
_PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that is set for one driver.

    Attributes:
        name: of the driver: the map's file name without suffix.
        map_path: the action map.
        directory: where the map is, and rc file and settings beside it.
        locations: of the installation of OpenNebula.
        settings: of ``settings.yml``.
        programs: what the map names for each action.
        environment: the whole environment of a run.
        debug: whether the driver keeps a log of its own (``ONE_MAD_DEBUG=1``).
        priority: nice value, or None to leave it (``PRIORITY``).
        options: how Ansible is run.
        defaults: the ``tm_*`` variables of all hosts.
        front_ends: names that mean this machine.
        content: the collection ``one.tm``.
    """

    name: str
    map_path: Path
    directory: Path
    locations: Locations
    settings: Settings
    programs: Mapping[Verb, Program]
    environment: Mapping[str, str]
    debug: bool
    priority: int | None
    options: RunOptions
    defaults: Mapping[str, Value]
    front_ends: tuple[str, ...]
    content: ContentRoot


def load_configuration(argument: str, environment: Mapping[str, str]) -> Configuration:
    """Read everything that an action map stands for.

    Args:
        argument: the map: absolute, or relative to OpenNebula's ``etc``; or the directory
            of a map that has its name.
        environment: the driver's.

    Returns:
        The configuration; every file in it has been seen.

    Raises:
        SettingsError: something is missing or wrong, Ansible's release too; the message names
            file, place and remedy.
    """
    check_ansible_core(ansible_core_version())
    locations = locate(environment)
    map_path = find_map(argument, locations)
    name, directory = map_path.stem, map_path.parent
    settings = load_settings(directory / "settings.yml")
    content = find_content(Path(settings.content) if settings.content else None)
    rc, priority = _read_rcs(*_rc_paths(locations, map_path))
    front_ends = front_end_names(settings.front_ends)
    return Configuration(
        name=name,
        map_path=map_path,
        directory=directory,
        locations=locations,
        settings=settings,
        programs=read_map(map_path, content, locations),
        environment=_run_environment(environment, rc),
        debug=_wants_log(rc),
        priority=priority,
        options=_run_options(settings),
        defaults={
            **_defaults(settings, front_ends, vm_dirs(locations)),
            "tm_own_paths": _own_paths(settings, locations, map_path, environment),
        },
        front_ends=front_ends,
        content=content,
    )


def find_log(argument: str, environment: Mapping[str, str]) -> Path | None:
    """Tell where a driver keeps its own log, even one that has a mistake elsewhere.

    Args:
        argument: as for ``load_configuration``.
        environment: the driver's.

    Returns:
        The file; None if ``ONE_MAD_DEBUG`` does not ask for one, or that cannot be read.
    """
    try:
        locations = locate(environment)
        map_path = find_map(argument, locations)
        rc, _ = _read_rcs(*_rc_paths(locations, map_path))
    except (SettingsError, OSError):
        return None
    return locations.log / f"{map_path.stem}.log" if _wants_log(rc) else None


def _rc_paths(locations: Locations, map_path: Path) -> tuple[Path, Path]:
    return locations.etc / "defaultrc", map_path.with_name(f"{map_path.stem}rc")


def _wants_log(rc: Mapping[str, str]) -> bool:
    return rc.get("ONE_MAD_DEBUG", "") not in ("", "0")


def _run_environment(inherited: Mapping[str, str], rc: Mapping[str, str]) -> Mapping[str, str]:
    kept = {
        name: value
        for name, value in inherited.items()
        if (name in _INHERITED or name.lower().endswith("_proxy")) and _is_utf8(value)
    }
    kept.setdefault("HOME", _home())
    kept |= rc
    directories = [str(Path(sys.executable).parent), *kept.get("PATH", "").split(":")]
    kept["PATH"] = ":".join(dict.fromkeys(filter(None, (*directories, *_SYSTEM_PATH))))
    # Ansible starts in a UTF-8 locale only.
    kept |= {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    kept["TM_COMMON"] = str(Path(__file__).resolve().parent / "share" / "tm_common.sh")
    return kept


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def _read_rcs(*paths: Path) -> tuple[Mapping[str, str], int | None]:
    """Read rc files, of which later ones win, and the nice value that they set."""
    rc: dict[str, str] = {}
    priority = None
    for path in paths:
        values = read_rc(path)
        if "PRIORITY" in values:
            priority = _parse_priority(values["PRIORITY"], path)
        rc |= values
    return rc, priority


def _parse_priority(value: str, path: Path) -> int | None:
    if not value:
        return None
    if re.fullmatch(r"-?[0-9]{1,2}", value) and int(value) in _NICE:
        return int(value)
    raise SettingsError(f"{path}: PRIORITY={value[:80]}: expected a nice value from -20 to 19")


def _run_options(settings: Settings) -> RunOptions:
    ansible, limits = settings.ansible, settings.limits
    return RunOptions(
        inventories=settings.inventory,
        extra_vars_files=ansible.extra_vars_files,
        vault_password_file=ansible.vault_password_file,
        ansible_config=ansible.config,
        remote_user=ansible.remote_user,
        private_key_file=ansible.private_key_file,
        become=ansible.become,
        become_user=ansible.become_user,
        host_key_checking=ansible.host_key_checking,
        connect_seconds=limits.connect_seconds,
        action_seconds=limits.action_seconds,
        silence_seconds=limits.silence_seconds,
    )


def _own_paths(
    settings: Settings, locations: Locations, map_path: Path, environment: Mapping[str, str]
) -> list[str]:
    """Tell what no VM's image may be: configuration, keys, passwords, and the cache."""
    ansible = settings.ansible
    named = (
        str(locations.etc),
        str(map_path.parent),
        environment.get("ONE_AUTH"),
        ansible.config,
        ansible.private_key_file,
        ansible.vault_password_file,
        *ansible.extra_vars_files,
        *settings.inventory,
        settings.cache.directory,
    )
    # A map may lie beside VMs' directories, which remain theirs.
    images = _image_dirs(settings, locations)
    own = [path for path in named if path and not _holds_any(path, images)]
    if str(map_path.parent) not in own:
        own += [str(map_path), str(_rc_paths(locations, map_path)[1])]
        own.append(str(map_path.with_name("settings.yml")))
    return list(dict.fromkeys(path for path in own if _is_utf8(path)))


def _image_dirs(settings: Settings, locations: Locations) -> list[str]:
    more = [each for directories in settings.allowed_for.values() for each in directories]
    return [*_allowed_dirs(settings, vm_dirs(locations)), *more]


def _holds_any(path: str, directories: Iterable[str]) -> bool:
    """Tell whether one of several directories is a path, or below it."""
    holder = Path(os.path.realpath(path))
    return any(Path(os.path.realpath(each)).is_relative_to(holder) for each in directories)


def _allowed_dirs(settings: Settings, vm_directories: tuple[Path, ...]) -> tuple[str, ...]:
    return settings.allowed_dirs or tuple(map(str, vm_directories))


def _defaults(
    settings: Settings, front_ends: tuple[str, ...], vm_directories: tuple[Path, ...]
) -> Mapping[str, Value]:
    images, copies, cache = settings.images, settings.copies, settings.cache
    return {
        "tm_front_ends": list(front_ends),
        "tm_allowed_dirs": list(_allowed_dirs(settings, vm_directories)),
        "tm_allowed_for": {verb: list(each) for verb, each in settings.allowed_for.items()},
        "tm_source_dirs": list(settings.source_dirs),
        "tm_url_schemes": list(settings.urls.schemes),
        "tm_url_hosts": list(settings.urls.hosts),
        "tm_url_size_gib": settings.urls.size_gib,
        "tm_url_seconds": settings.urls.seconds,
        "tm_download_timeout": settings.urls.silence_seconds,
        "tm_schemes_dir": settings.schemes_dir,
        "tm_mode": images.mode,
        # Not null, which ansible-core before 2.19 does not take for text.
        "tm_owner": images.owner or "",
        "tm_group": images.group or "",
        "tm_slack_percent": images.slack_percent,
        "tm_format": images.format,
        "tm_bandwidth_mib": copies.bandwidth_per_host,
        "tm_front_end_bandwidth_mib": copies.bandwidth_front_end,
        "tm_route": copies.route,
        "tm_compression": copies.compression,
        "tm_ciphers": list(copies.ciphers),
        "tm_cache_dir": cache.directory or "",
        "tm_cache_size_gib": cache.size_gib,
        "tm_cache_age_days": cache.age_days,
        "tm_progress_seconds": _PROGRESS_SECONDS,
    }
