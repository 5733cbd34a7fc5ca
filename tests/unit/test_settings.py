"""The settings file of an action map."""

from pathlib import Path
from string import Template

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tm_ansible.errors import SettingsError
from tm_ansible.settings import (
    AnsibleSettings,
    Cache,
    Copies,
    Images,
    Limits,
    Settings,
    Urls,
    load_settings,
)

SHIPPED = Path(__file__).resolve().parents[2] / "tm_ansible" / "share" / "settings.yml"


@pytest.fixture
def load(tmp_path):
    """Load a text as settings.yml."""

    def load_text(text):
        path = tmp_path / "settings.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_settings(path)

    return load_text


def test_a_missing_file_means_the_defaults(tmp_path):
    """Nothing has to be set."""
    assert load_settings(tmp_path / "settings.yml") == Settings(
        schemes_dir=str(tmp_path / "schemes")
    )


@pytest.mark.parametrize("text", ["", "\n", "# concurrency: 3\n", "---\n", "{}"])
def test_an_empty_file_means_the_defaults(load, tmp_path, text):
    """A file of comments sets nothing."""
    assert load(text) == Settings(schemes_dir=str(tmp_path / "schemes"))


def test_everything_can_be_set(load, tmp_path):
    """Each key is read; a relative path is below the file's directory."""
    for name in ("hosts.yml", "extra.yml", "key", "vault", "ansible.cfg"):
        (tmp_path / name).touch()
    (tmp_path / "site").mkdir()
    here = str(tmp_path)
    assert load(
        f"""
inventory: [hosts.yml, {here}/site]
concurrency: 3
front_ends: [fe]
allowed_dirs: [/srv/vms]
allowed_for: {{MV: [/srv/saved], CLONE: []}}
source_dirs: [/srv/images]
urls: {{schemes: [https], hosts: ["*", "*.example.org", 10.0.0.0/8, "fd00::/8"],
  size_gib: 5, seconds: 60, silence_seconds: 5}}
schemes_dir: urls
content: site
images: {{mode: "0660", owner: one, group: "107", slack_percent: 5, format: qcow2}}
copies: {{per_host: 2, front_end: 8, bandwidth_per_host: 100, bandwidth_front_end: 500,
  route: front_end, compression: never, ciphers: [aes128-gcm@openssh.com, aes128-ctr]}}
cache: {{directory: /srv/cache, size_gib: 20, age_days: 7}}
limits: {{action_seconds: 60, silence_seconds: 30, connect_seconds: 5}}
ansible:
  config: ansible.cfg
  remote_user: one
  private_key_file: key
  become: true
  become_user: root
  host_key_checking: false
  vault_password_file: vault
  extra_vars_files: [extra.yml]
"""
    ) == Settings(
        inventory=(f"{here}/hosts.yml", f"{here}/site"),
        concurrency=3,
        front_ends=("fe",),
        allowed_dirs=("/srv/vms",),
        allowed_for={"MV": ("/srv/saved",), "CLONE": ()},
        source_dirs=("/srv/images",),
        urls=Urls(
            schemes=("https",),
            hosts=("*", "*.example.org", "10.0.0.0/8", "fd00::/8"),
            size_gib=5,
            seconds=60,
            silence_seconds=5,
        ),
        schemes_dir=f"{here}/urls",
        content=f"{here}/site",
        images=Images(mode="0660", owner="one", group="107", slack_percent=5, format="qcow2"),
        copies=Copies(
            per_host=2,
            front_end=8,
            bandwidth_per_host=100,
            bandwidth_front_end=500,
            route="front_end",
            compression="never",
            ciphers=("aes128-gcm@openssh.com", "aes128-ctr"),
        ),
        cache=Cache(directory="/srv/cache", size_gib=20, age_days=7),
        limits=Limits(action_seconds=60, silence_seconds=30, connect_seconds=5),
        ansible=AnsibleSettings(
            config=f"{here}/ansible.cfg",
            remote_user="one",
            private_key_file=f"{here}/key",
            become=True,
            become_user="root",
            host_key_checking=False,
            vault_password_file=f"{here}/vault",
            extra_vars_files=(f"{here}/extra.yml",),
        ),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("concurency: 3", ["concurency: unknown key", "did you mean concurrency?"]),
        ("limits: {action_secs: 3}", ["limits.action_secs: unknown key", "limits.action_seconds?"]),
        ("action_seconds: 3", ["unknown key", "did you mean limits.action_seconds?"]),
        ("zzz: 3", ["zzz: unknown key; known are inventory, concurrency"]),
        ("concurrency: many", ["concurrency: expected a whole number, got text"]),
        ("concurrency: 0", ["concurrency: expected a whole number >= 1, got 0"]),
        ("concurrency: 1001", ["concurrency: expected a whole number <= 1000, got 1001"]),
        ("concurrency: 1.5", ["concurrency: expected a whole number, got a fraction"]),
        (
            "engine: {session_seconds: -1}",
            ["engine.session_seconds: expected a number >= 0.0, got -1"],
        ),
        ("engine: {session_seconds: long}", ["expected a number, got text"]),
        ("inventory: hosts.yml", ["inventory: expected a list, got text"]),
        ("inventory: ['']", ["inventory[0]: expected text that is not empty"]),
        ("allowed_dirs: [/a, b]", ["allowed_dirs[1]: expected an absolute path other than /"]),
        ("allowed_dirs: [/]", ["allowed_dirs[0]: expected an absolute path"]),
        ("allowed_dirs: [///]", ["allowed_dirs[0]: expected an absolute path"]),
        ("allowed_dirs: [/a/../..]", ["allowed_dirs[0]: expected an absolute path"]),
        ("allowed_for: {MV: [/]}", ["allowed_for", "expected an absolute path other than /"]),
        ("allowed_for: {COPY: [/a]}", ["allowed_for", "CLONE, LN, MKSWAP, MKIMAGE, DELETE or MV"]),
        ("urls: {hosts: [a b]}", ["urls.hosts[0]: expected"]),
        ("urls: {hosts: ['http://a']}", ["urls.hosts[0]: expected"]),
        ("urls: {hosts: ['**']}", ["urls.hosts[0]: expected"]),
        ("urls: {schemes: [file]}", ["urls.schemes[0]: expected", "http"]),
        ("source_dirs: [/.]", ["source_dirs[0]: expected an absolute path"]),
        ("images: {mode: 0664}", ["images.mode: expected a mode in quotes", "got 436"]),
        ("images: {mode: u+z}", ["images.mode: expected a mode in quotes", "got 'u+z'"]),
        ("images: {mode: '9999'}", ["images.mode: expected a mode in quotes"]),
        ("images: {mode: 'a+w; rm'}", ["images.mode: expected a mode in quotes"]),
        ("images: {owner: 107}", ["images.owner: expected text or nothing, got a whole number"]),
        ("images: {slack_percent: -1}", ["images.slack_percent: expected a whole number >= 0"]),
        ("images: {format: vmdk}", ["images.format: expected probe, raw or qcow2, got 'vmdk'"]),
        ("copies: {per_host: -1}", ["copies.per_host: expected a whole number >= 0, got -1"]),
        ("copies: {route: detour}", ["copies.route: expected auto, direct or front_end, got"]),
        ("copies: {compression: true}", ["copies.compression: expected auto, always or never"]),
        ("copies: {ciphers: [-oProxyCommand=x]}", ["copies.ciphers[0]: expected names that 'ssh"]),
        ("copies: {ciphers: aes128-ctr}", ["copies.ciphers: expected a list, got text"]),
        ("copies: {bandwidth: 3}", ["unknown key", "did you mean copies.bandwidth_per_host?"]),
        ("cache: {directory: cache}", ["cache.directory: expected an absolute path other than /"]),
        ("cache: {size_gib: 0}", ["cache.size_gib: expected a whole number >= 1, got 0"]),
        ("limits: {connect_seconds: 0}", ["limits.connect_seconds", ">= 1, got 0"]),
        ("limits: {silence_seconds: -1}", ["limits.silence_seconds", ">= 0, got -1"]),
        ("limits: 3", ["limits: expected a mapping, got a whole number"]),
        ("ansible: {become: 'yes'}", ["ansible.become: expected true or false, got text"]),
        ("- a", ["expected a mapping, got a list"]),
        ("1: 2", ["every key must be text"]),
        ("a: [", ["line 1: no valid YAML"]),
        ("concurrency: 3\n\tb: 1", ["line 2: no valid YAML"]),
        ("concurrency: 3\nconcurrency: 4", ["line 2: concurrency is set twice"]),
        ("limits:\n  action_seconds: 3\n  action_seconds: 4", ["line 3: action_seconds is set"]),
        ("concurrency: 3\n---\nconcurrency: 4", ["line 2: no valid YAML"]),
        ("concurrency: !!python/object:os.system {}", ["line 1: no valid YAML"]),
        ("concurrency: 2026-99-99", ["no valid YAML: month must be in 1..12"]),
        ("x: &a {b: *a}", ["no valid YAML"]),
        (b"front_ends: [\xff]", ["no valid YAML"]),
    ],
)
def test_mistakes_name_file_key_and_remedy(load, tmp_path, text, words):
    """An error is one line that says where, what is wrong, and what is expected."""
    with pytest.raises(SettingsError) as caught:
        load(text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/settings.yml: ")
    assert message.isprintable()
    for each in words:
        assert each in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("inventory: [gone]", "inventory"),
        ("content: gone", "content"),
        ("ansible: {config: gone}", "ansible.config"),
        ("ansible: {private_key_file: gone}", "ansible.private_key_file"),
        ("ansible: {vault_password_file: gone}", "ansible.vault_password_file"),
        ("ansible: {extra_vars_files: [gone]}", "ansible.extra_vars_files"),
    ],
)
def test_missing_files_are_refused(load, tmp_path, text, key):
    """A file that is named must be there when the driver starts, not when a VM does."""
    with pytest.raises(SettingsError) as caught:
        load(text)
    expected = f"{tmp_path}/settings.yml: {key}: {tmp_path}/gone does not exist"
    assert str(caught.value).startswith(expected)


def test_an_unreadable_file_is_refused(tmp_path):
    """A directory in the place of the file is no reason to take the defaults."""
    (tmp_path / "settings.yml").mkdir()
    with pytest.raises(SettingsError, match=r"settings.yml: cannot be read: Is a directory"):
        load_settings(tmp_path / "settings.yml")


@pytest.mark.parametrize("mode", ["0664", "664", "2775", "a+w", "u=rw,g+w,o-rwx", "+x", "ug+rwX"])
def test_modes(load, mode):
    """What chmod takes is taken."""
    assert load(f"images: {{mode: '{mode}'}}").images.mode == mode


def test_the_shipped_file_shows_the_defaults(load, tmp_path):
    """With every comment taken away, the file that is installed sets what is the default anyway."""
    text = Template(SHIPPED.read_text()).safe_substitute(name="x", map="x", var="/var")
    assert load(text) == Settings(schemes_dir=str(tmp_path / "schemes"))
    known = {*Settings.__struct_fields__, "mode", "action_seconds", "config", "warm"}
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    wanted = [line for line in lines if line.lstrip().split(":")[0] in _all_keys(known)]
    assert load("\n".join(wanted)) == Settings(schemes_dir=str(tmp_path / "schemes"))
    assert set(yaml.safe_load("\n".join(wanted))) == set(Settings.__struct_fields__)


def _all_keys(known):
    kinds = (Settings, Images, Copies, Cache, Limits, AnsibleSettings)
    return known.union(*(kind.__struct_fields__ for kind in kinds))


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from((*Settings.__struct_fields__, "modes", ""))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(KEYS, YAML_VALUES, max_size=3).map(yaml.safe_dump)
    | st.text("ab: -[]{}#&*!|>'\"\n\t%@")
)
def test_no_file_raises_anything_else(load, text):
    """Whatever the file, it is read or refused by name, in one line."""
    try:
        loaded = load(text)
    except SettingsError as error:
        assert "settings.yml: " in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        msgspec.json.encode(loaded)


def test_link_to_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    """A link that leads nowhere is a mistake; taking the defaults would drop the site's guards."""
    path = tmp_path / "settings.yml"
    path.symlink_to(tmp_path / "gone.yml")
    with pytest.raises(SettingsError, match="leads to no file"):
        load_settings(path)
