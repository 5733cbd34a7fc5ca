"""Action map, rc files and settings together."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.actionmap import find_map
from tm_ansible.configuration import Program, load_configuration
from tm_ansible.engine.job import RunOptions
from tm_ansible.errors import SettingsError
from tm_ansible.locations import locate
from tm_ansible.rcfile import read_rc
from tm_ansible.script import Verb

MAP = "# what is done\nCLONE = clone.yml\nLN = shipped/ln.yaml\n"


@pytest.fixture
def site(tmp_path):
    """A self-contained installation with one map, and content of its own."""
    directory = tmp_path / "etc" / "tm_site"
    directory.mkdir(parents=True)
    (directory / "tm_site.conf").write_text(MAP)
    (directory / "clone.yml").touch()
    (directory / "settings.yml").write_text("content: content\n")
    shipped = directory / "content/ansible_collections/one/tm/playbooks/shipped"
    shipped.mkdir(parents=True)
    (shipped / "ln.yaml").touch()
    return directory


def _load(site, argument="tm_site/tm_site.conf", **environment):
    root = str(site.parents[1])
    return load_configuration(argument, {"ONE_LOCATION": root, **environment})


def _refused(site):
    with pytest.raises(SettingsError) as caught:
        _load(site)
    return str(caught.value)


@pytest.mark.parametrize("argument", ["tm_site/tm_site.conf", "tm_site", "tm_site/", None])
def test_a_map_is_found(site, argument):
    """The map is named below etc, absolute, or by its directory."""
    argument = argument or str(site / "tm_site.conf")
    configuration = _load(site, argument)
    assert configuration.name == "tm_site"
    assert configuration.map_path == site / "tm_site.conf"
    assert configuration.directory == site
    assert configuration.locations == locate({"ONE_LOCATION": str(site.parents[1])})


@pytest.mark.parametrize(
    ("argument", "words"),
    [("", "no action map is named"), ("tm_x/tm_x.conf", "no such action map")],
)
def test_a_map_that_is_not_there(site, argument, words):
    """A missing map names the place and what to do."""
    with pytest.raises(SettingsError, match=words) as caught:
        find_map(argument, locate({"ONE_LOCATION": str(site.parents[1])}))
    assert "arguments in TM_MAD" in str(caught.value)


def test_programs_are_looked_up_in_order(site):
    """A playbook is taken from beside the map, then from the content; an absolute one as it is."""
    content = site / "content/ansible_collections/one/tm/playbooks"
    assert _load(site).programs == {
        Verb.CLONE: Program("playbook", str(site / "clone.yml")),
        Verb.LN: Program("playbook", str(content / "shipped/ln.yaml")),
    }
    (site / "shipped").mkdir()
    (site / "shipped/ln.yaml").touch()
    (site / "tm_site.conf").write_text(f'ln = "shipped/ln.yaml"\nMV = {content}/shipped/ln.yaml\n')
    assert _load(site).programs == {
        Verb.LN: Program("playbook", str(site / "shipped/ln.yaml")),
        Verb.MV: Program("playbook", str(content / "shipped/ln.yaml")),
    }


def test_action_scripts_are_looked_up(site):
    """Any other value is an action script: beside the map, among the stock ones, or absolute."""
    stock = site.parents[1] / "lib/tm_commands/nfs/tm_mv.sh"
    stock.parent.mkdir(parents=True)
    for path in (stock, site / "mine"):
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    (site / "tm_site.conf").write_text("MV = nfs/tm_mv.sh\nLN = mine\nCLONE = /bin/true\n")
    assert _load(site).programs == {
        Verb.MV: Program("script", str(stock)),
        Verb.LN: Program("script", str(site / "mine")),
        Verb.CLONE: Program("script", "/bin/true"),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nCLON = clone.yml", "line 2: CLON is no action; did you mean CLONE?"),
        ("XYZZY = clone.yml", "XYZZY is no action; known are CLONE, LN"),
        ("CLONE = clone.yml\nclone = clone.yml", "line 2: CLONE is set twice"),
        ('CLONE = ""', "line 1: CLONE must be the name of"),
        ("CLONE = [ A = b ]", "line 1: CLONE must be the name of"),
        ("CLONE = gone.yml", "line 1: CLONE: there is no playbook"),
        ("CLONE = gone.sh", "line 1: CLONE: there is no action script"),
        ("CLONE = /gone.yml", "there is no playbook /gone.yml"),
        ("CLONE = content", "there is no action script"),
        ("CLONE = settings.txt", "is not executable: run chmod +x"),
        ("CLONE = a b", "line 1: expected the end of the line"),
        (b"CLONE = \xff", "is not UTF-8"),
    ],
)
def test_mistakes_in_the_map(site, text, words):
    """A wrong map names its file, its line and the remedy."""
    (site / "settings.txt").touch(mode=0o644)
    (site / "tm_site.conf").write_bytes(text if isinstance(text, bytes) else text.encode())
    message = _refused(site)
    assert message.startswith(f"{site}/tm_site.conf: ")
    assert words in message


def test_mistakes_beside_the_map(site):
    """Settings and rc files are read with the map, and their errors name them."""
    (site / "tm_siterc").write_text("A=1\nPRIORITY=high\n")
    assert _refused(site).startswith(f"{site}/tm_siterc: PRIORITY=high: expected a nice value")
    (site / "tm_siterc").write_text("PRIORITY=1\n")
    (site.parent / "defaultrc").write_text("PRIORITY=20\n")
    assert _refused(site).startswith(f"{site.parent}/defaultrc: PRIORITY=20: expected")
    (site.parent / "defaultrc").write_text("\nif true; then\n")
    assert _refused(site).startswith(f"{site.parent}/defaultrc: line 2: expected NAME=value")
    (site / "settings.yml").write_text("concurrency: x")
    assert _refused(site).startswith(f"{site}/settings.yml: concurrency: ")


def test_rc_files_set_debug_priority_and_environment(site):
    """Defaultrc is read first, then the driver's own file, which wins."""
    assert _load(site).debug is False
    assert _load(site).priority is None
    (site.parent / "defaultrc").write_text("PRIORITY=19\nANSIBLE_FORKS=3\nA=default\n")
    (site / "tm_siterc").write_text("ONE_MAD_DEBUG=1\nexport A='own one'\nPRIORITY=-5\n")
    configuration = _load(site)
    assert configuration.debug is True
    assert configuration.priority == -5
    assert configuration.environment["ANSIBLE_FORKS"] == "3"
    assert configuration.environment["A"] == "own one"


@pytest.mark.parametrize("value", ["20", "-21", "1.5", "--1", "1-", "\u0663", "9" * 5000])
def test_odd_priorities_are_refused(site, value):
    """Only a nice value is one."""
    (site / "tm_siterc").write_text(f"PRIORITY={value}\n")
    assert "expected a nice value" in _refused(site)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("A=1", {"A": "1"}),
        ("  export A=1 # x", {"A": "1"}),
        ("A='x y' B=\"z #\"", {"A": "x y", "B": "z #"}),
        ("A=1; export A", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=b=c", {"A": "b=c"}),
        ("A='$x `y`'", {"A": "$x `y`"}),
        (r"A=\$x", {"A": "$x"}),
        ("# A=$x 'y", {}),
        ("A=http://joe:p#x@h B='#'c#d # it's $x", {"A": "http://joe:p#x@h", "B": "#c#d"}),
        (r"A=b\#c;# 'x", {"A": "b#c"}),
        ('A="x"#y', {"A": "x#y"}),
        ("", {}),
    ],
)
def test_rc_lines(tmp_path, line, values):
    """Assignments are read as a shell reads them."""
    path = tmp_path / "rc"
    path.write_text(f"{line}\n")
    assert read_rc(path) == values
    shell = subprocess.run(
        ["sh", "-c", '. "$0"; for name; do eval echo "\\"\\$$name\\""; done', path, *values],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert shell.stdout.decode().splitlines() == list(values.values())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A=$HOME/x", "not expanded"),
        ('A="`id`"', "not expanded"),
        ("A='x", "a quote is not closed"),
        ("echo x", "expected NAME=value, found 'echo'"),
        ("A = 1", "expected NAME=value, found 'A'"),
        ("1A=2", "expected NAME=value"),
        ("A=\0", "not expanded"),
    ],
)
def test_rc_lines_that_need_a_shell_are_refused(tmp_path, line, words):
    """What only a shell understands is not taken for something else."""
    path = tmp_path / "rc"
    path.write_text(f"\n{line}\n")
    with pytest.raises(SettingsError, match=words) as caught:
        read_rc(path)
    assert str(caught.value).startswith(f"{path}: line 2: ")


@given(st.text(st.sampled_from("AB=\"'$;# \t\\export") | st.characters(codec="utf-8")))
def test_no_rc_file_raises_anything_else(tmp_path_factory, text):
    """Whatever the file, it is read or refused by line."""
    path = tmp_path_factory.getbasetemp() / "rc"
    path.write_text(text, newline="")
    try:
        values = read_rc(path)
    except SettingsError as error:
        assert str(error).startswith(f"{path}: line ")  # noqa: PT017
    else:
        assert not any("\0" in value for value in values.values())


def test_odd_rc_files(tmp_path):
    """A file that cannot be read is refused; one that is missing sets nothing."""
    assert read_rc(tmp_path / "rc") == {}
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_rc(tmp_path)
    (tmp_path / "rc").write_bytes(b"A=\xff")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        read_rc(tmp_path / "rc")


def test_the_run_inherits_little(site):
    """Secrets and settings of oned's environment do not reach a run; proxies and agents do."""
    environment = _load(
        site,
        PATH="/opt/bin::/usr/bin",
        HOME="/home/one",
        USER="one",
        SSH_AUTH_SOCK="/tmp/agent",
        https_proxy="http://proxy",
        NO_PROXY="fe",
        TZ="\udcff",
        LC_ALL="C",
        LANG="C",
        AWS_SESSION="x",
        ONE_AUTH="/x",
        ANSIBLE_CONFIG="/x",
        PYTHONPATH="/x",
        LD_PRELOAD="/x",
    ).environment
    common = environment.pop("TM_COMMON")
    assert environment == {
        "ONE_LOCATION": str(site.parents[1]),
        "PATH": f"{Path(sys.executable).parent}:/opt/bin:/usr/bin:/usr/sbin:/sbin:/bin",
        "HOME": "/home/one",
        "USER": "one",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "https_proxy": "http://proxy",
        "NO_PROXY": "fe",
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
    }
    assert Path(common).name == "tm_common.sh"
    assert Path(common).is_file()


def test_the_run_has_a_home_and_a_path(site):
    """Oned may be started without HOME and PATH; programs are found all the same."""
    environment = _load(site).environment
    assert environment["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    executables = Path(sys.executable).parent
    assert environment["PATH"] == f"{executables}:/usr/sbin:/sbin:/usr/bin:/bin"


def test_settings_become_options_and_variables(site):
    """What a site sets reaches the run: as Ansible's options, and as variables of all hosts."""
    (site / "hosts.yml").touch()
    (site / "settings.yml").write_text(
        "content: content\ninventory: [hosts.yml]\nfront_ends: [fe]\n"
        "source_dirs: [/srv/images]\nimages: {mode: '0660', owner: one, format: raw}\n"
        "copies: {bandwidth_per_host: 50, route: direct, ciphers: [aes128-ctr]}\n"
        "cache: {directory: /srv/cache}\nallowed_for: {MV: [/srv/saved]}\n"
        "urls: {schemes: [https], hosts: ['*.example.org'], silence_seconds: 30}\n"
        "limits: {action_seconds: 60}\nansible: {become: true, host_key_checking: false}\n"
    )
    (site.parent / "oned.conf").write_text("VM_DIR = /srv/vms\n")
    configuration = _load(site)
    assert configuration.options == RunOptions(
        inventories=(str(site / "hosts.yml"),),
        become=True,
        host_key_checking=False,
        action_seconds=60,
    )
    assert configuration.front_ends[-1] == "fe"
    assert configuration.defaults == {
        "tm_front_ends": list(configuration.front_ends),
        "tm_allowed_dirs": [str(site.parents[1] / "var"), "/srv/vms"],
        "tm_allowed_for": {"MV": ["/srv/saved"]},
        "tm_own_paths": [str(site.parent), str(site), str(site / "hosts.yml"), "/srv/cache"],
        "tm_source_dirs": ["/srv/images"],
        "tm_url_schemes": ["https"],
        "tm_url_hosts": ["*.example.org"],
        "tm_url_size_gib": 1024,
        "tm_url_seconds": 86400,
        "tm_download_timeout": 30,
        "tm_schemes_dir": str(site / "schemes"),
        "tm_mode": "0660",
        "tm_owner": "one",
        "tm_group": "",
        "tm_slack_percent": 20,
        "tm_format": "raw",
        "tm_bandwidth_mib": 50,
        "tm_front_end_bandwidth_mib": 0,
        "tm_route": "direct",
        "tm_compression": "auto",
        "tm_ciphers": ["aes128-ctr"],
        "tm_cache_dir": "/srv/cache",
        "tm_cache_size_gib": 100,
        "tm_cache_age_days": 30,
        "tm_progress_seconds": 2.0,
    }


def test_allowed_dirs_of_the_settings_take_the_place_of_the_default(site):
    """A site that names directories means these and no others."""
    (site / "settings.yml").write_text("content: content\nallowed_dirs: [/srv/x]\n")
    assert _load(site).defaults["tm_allowed_dirs"] == ["/srv/x"]


def test_loading_imports_nothing_heavy(site):
    """A driver has 0.5 s to answer INIT, so reading its configuration needs no Ansible."""
    program = (
        "import os, sys\n"
        "import tm_ansible.actions, tm_ansible.protocol\n"
        "from tm_ansible.configuration import load_configuration\n"
        "load_configuration('tm_site', os.environ)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    package = Path(__file__).resolve().parents[2]
    environment = {"ONE_LOCATION": str(site.parents[1]), "PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    heavy = {"ansible", "ansible_runner", "asyncio", "http", "ssl", "rich", "subprocess", "pexpect"}
    if sys.version_info < (3, 11):
        heavy.remove("subprocess")  # its uuid, which msgspec needs, imports it
    assert not heavy & set(done.stdout.split())


def test_a_map_beside_the_directories_of_vms_leaves_them_theirs(site):
    """Its own files are the driver's, and no VM's directory is."""
    var = site.parents[1] / "var"
    var.mkdir()
    for name, text in (("tm.conf", MAP), ("settings.yml", f"content: {site}/content\n")):
        (var / name).write_text(text)
    (var / "clone.yml").touch()
    own = _load(site, str(var / "tm.conf")).defaults["tm_own_paths"]
    assert own == [str(site.parent), *(str(var / n) for n in ("tm.conf", "tmrc", "settings.yml"))]
    (var / "settings.yml").write_text(
        f"content: {site}/content\nallowed_dirs: [/vms]\nallowed_for: {{MV: [{var}/saved]}}\n"
    )
    assert str(var) not in _load(site, str(var / "tm.conf")).defaults["tm_own_paths"]
    (var / "settings.yml").write_text(f"content: {site}/content\nallowed_dirs: [/vms]\n")
    assert _load(site, str(var / "tm.conf")).defaults["tm_own_paths"] == [
        str(site.parent),
        str(var),
    ]
