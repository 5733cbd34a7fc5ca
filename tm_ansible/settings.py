"""The settings file of an action map, ``settings.yml``: read, checked and frozen."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from tm_ansible.complaint import convert
from tm_ansible.errors import SettingsError
from tm_ansible.yamlfile import read_yaml

_Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=10_000_000)]
_Text: TypeAlias = Annotated[str, Meta(min_length=1)]
# Absolute, not the root, and without "." and "..".
_Directory: TypeAlias = Annotated[str, Meta(pattern=r"^(/+(?!\.\.?(/|$))[^/\x00]+)+/*$")]
# What chmod takes: an octal number, or clauses such as u=rw,g+w.
_Mode: TypeAlias = Annotated[
    str, Meta(pattern=r"^(0?[0-7]{3,4}|[ugoa]*[-+=][rwxXst]*(,[ugoa]*[-+=][rwxXst]*)*)$")
]
# The name of an OpenSSH cipher, which becomes part of an option.
_Cipher: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.@-]*$")]
_Verb: TypeAlias = Literal["CLONE", "LN", "MKSWAP", "MKIMAGE", "DELETE", "MV"]
# A server: a name, *.domain, an address, a network, or * for any.
_Host: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$"
    ),
]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=1000)]
_MibPerSecond: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]


class Images(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What images get.

    Attributes:
        mode: of images and their directory, as chmod takes it.
        owner: user name or number, or None to leave it.
        group: group name or number, or None to leave it.
        slack_percent: room that MKIMAGE leaves in a file system made from a directory.
        format: of sources, or ``probe`` to have ``qemu-img`` say it.
    """

    mode: _Mode = "a+w"
    owner: _Text | None = None
    group: _Text | None = None
    slack_percent: Annotated[int, Meta(ge=0, le=1000)] = 20
    format: Literal["probe", "raw", "qcow2"] = "probe"


class Copies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How images are copied.

    Attributes:
        per_host: transfers at a time that copy to or from one host; 0 for no limit.
        front_end: transfers at a time that read or write images on the front-end; 0 for no limit.
        bandwidth_per_host: of all copies of a host together, in MiB/s; 0 for no limit.
        bandwidth_front_end: the same of the front-end.
        route: the way between two hosts: straight, through the front-end, or as it can be.
        compression: of what goes from host to host.
        ciphers: of ssh, by OpenSSH's names, in order; empty for what was measured to be quickest.
    """

    per_host: _Count = 4
    front_end: _Count = 0
    bandwidth_per_host: _MibPerSecond = 0
    bandwidth_front_end: _MibPerSecond = 0
    route: Literal["auto", "direct", "front_end"] = "auto"
    compression: Literal["auto", "always", "never"] = "auto"
    ciphers: tuple[_Cipher, ...] = ()


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cache of images on each host.

    Attributes:
        directory: absolute path on the hosts, or None for no cache.
        size_gib: most that it may hold, in GiB.
        age_days: how long an image stays that nobody asks for.
    """

    directory: _Directory | None = None
    size_gib: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    age_days: Annotated[int, Meta(ge=1, le=36_500)] = 30


class Urls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be fetched.

    Attributes:
        schemes: of URLs.
        hosts: servers by name, ``*.domain``, address or network, ``*`` for any; empty for any
            but the machine that fetches.
        size_gib: most that an image may have; 0 for no limit.
        seconds: most that a download may take; 0 for no limit.
        silence_seconds: longest silence of a server.
    """

    schemes: tuple[Literal["http", "https", "ftp"], ...] = ("http", "https", "ftp")
    hosts: tuple[_Host, ...] = ()
    size_gib: Annotated[int, Meta(ge=0, le=1_000_000)] = 1024
    seconds: _Seconds = 86400
    silence_seconds: Annotated[int, Meta(ge=1, le=3600)] = 60


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Time limits, in seconds.

    Attributes:
        action_seconds: of one action; 0 for none.
        silence_seconds: without any sign of life; 0 for none.
        connect_seconds: of a connection attempt.
    """

    action_seconds: _Seconds = 86400
    silence_seconds: _Seconds = 0
    connect_seconds: Annotated[int, Meta(ge=1, le=3600)] = 10


class AnsibleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How Ansible is run; paths are absolute.

    Attributes:
        config: an ansible.cfg, or None for Ansible's own search.
        remote_user: default user on hosts, or None.
        private_key_file: default key, or None.
        become: whether tasks use privilege escalation by default.
        become_user: who to become, or None for Ansible's default.
        host_key_checking: whether an unknown or changed host key is refused.
        vault_password_file: or None.
        extra_vars_files: YAML files whose variables override all others.
    """

    config: _Text | None = None
    remote_user: _Text | None = None
    private_key_file: _Text | None = None
    become: bool = False
    become_user: _Text | None = None
    host_key_checking: bool = True
    vault_password_file: _Text | None = None
    extra_vars_files: tuple[_Text, ...] = ()


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the driver keeps Ansible ready.

    Attributes:
        warm: whether runs start from a process in which Ansible is loaded already.
        session_seconds: how long such a run, and its session on a host, wait for more work.
    """

    warm: bool = True
    # Five seconds after a run nothing of it may be left, unless the site wants it.
    session_seconds: Annotated[float, Meta(ge=0, le=3600)] = 4.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that ``settings.yml`` may set; relative paths are below its directory.

    Attributes:
        inventory: files, directories or scripts that Ansible takes as inventories.
        concurrency: transfers that run at a time.
        front_ends: further host names that mean this machine.
        allowed_dirs: where VMs have their directories; empty for ``var`` and VM_DIR.
        allowed_for: more directories by verb.
        source_dirs: where sources of CLONE, LN and MKIMAGE may lie; empty for anywhere but the
            system's own places.
        schemes_dir: where a site adds kinds of URL.
        content: directory that holds ``ansible_collections/one/tm``, or None to look for it.
        images: what images get.
        copies: how images are copied.
        cache: of images on hosts.
        urls: what may be fetched.
        limits: time limits.
        ansible: how Ansible is run.
        engine: how the driver keeps Ansible ready.
    """

    inventory: tuple[_Text, ...] = ()
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 10
    front_ends: tuple[_Text, ...] = ()
    allowed_dirs: tuple[_Directory, ...] = ()
    allowed_for: dict[_Verb, tuple[_Directory, ...]] = {}
    source_dirs: tuple[_Directory, ...] = ()
    schemes_dir: _Text = "schemes"
    content: _Text | None = None
    images: Images = Images()
    copies: Copies = Copies()
    cache: Cache = Cache()
    urls: Urls = Urls()
    limits: Limits = Limits()
    ansible: AnsibleSettings = AnsibleSettings()
    engine: EngineSettings = EngineSettings()


def load_settings(path: Path) -> Settings:
    """Read a settings file.

    Args:
        path: absolute path of the file; a missing one means the defaults.

    Returns:
        The settings, with every path absolute.

    Raises:
        SettingsError: it cannot be read, is no YAML, has an unknown key or a wrong value, or
            names a file that is not there; the message names the file and the key.
    """
    values = read_yaml(path)
    try:
        return _resolve(convert(values, Settings), path.parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _resolve(settings: Settings, directory: Path) -> Settings:
    """Make every path absolute and see that what is named exists."""

    def existing(key: str, named: str) -> str:
        found = directory / Path(named).expanduser()
        if not found.exists():
            raise SettingsError(f"{key}: {found} does not exist: correct or remove it")
        return str(found)

    def optional(key: str, named: str | None) -> str | None:
        return None if named is None else existing(key, named)

    ansible = settings.ansible
    extra = tuple(existing("ansible.extra_vars_files", each) for each in ansible.extra_vars_files)
    replace = msgspec.structs.replace
    return replace(
        settings,
        inventory=tuple(existing("inventory", named) for named in settings.inventory),
        content=optional("content", settings.content),
        schemes_dir=str(directory / settings.schemes_dir),
        ansible=replace(
            ansible,
            config=optional("ansible.config", ansible.config),
            private_key_file=optional("ansible.private_key_file", ansible.private_key_file),
            vault_password_file=optional(
                "ansible.vault_password_file", ansible.vault_password_file
            ),
            extra_vars_files=extra,
        ),
    )
