"""The filters for an action's arguments."""

import importlib.util
import socket
from types import ModuleType

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from worlds import ROOT

PATH = ROOT / "plugins" / "filter" / "arguments.py"


def load() -> ModuleType:
    """Load the filter file as Ansible does, by its path."""
    spec = importlib.util.spec_from_file_location("arguments", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILTERS = load().FilterModule().filters()


@pytest.mark.parametrize(
    ("argument", "host", "path"),
    [
        ("node1:/vm//7/images/", "node1", "/vm/7/images"),
        ("10.0.0.1:/a:b", "10.0.0.1", "/a:b"),
        ("[fe80::1]:/a", "fe80::1", "/a"),
        ("/a:b", "", "/a:b"),
        ("http://user:pw@server:8080/x/y.img?a=1", "server", "/x/y.img?a=1"),
        ("HTTPS://server/a", "server", "/a"),
        ("http://[::1]:80/a", "::1", "/a"),
        ("http://server?@other/a", "server", "?@other/a"),
        ("fe:/a/../b", "fe", "/a/../b"),
        ("fe:", "fe", ""),
        ("", "", ""),
    ],
)
def test_an_argument_splits_into_host_and_path(argument, host, path):
    """As the guide's ``arg_host`` and ``arg_path`` do, and for what they cannot."""
    assert (FILTERS["arg_host"](argument), FILTERS["arg_path"](argument)) == (host, path)


@pytest.mark.parametrize(
    ("argument", "scheme"),
    [("HTTP://a/b", "http"), ("s3+x.y-z://a", "s3+x.y-z"), ("node1:/a", ""), ("../x://a", "")],
)
def test_the_scheme_is_a_word(argument, scheme):
    """It becomes a file name, so it is nothing else."""
    assert FILTERS["arg_scheme"](argument) == scheme


def test_what_is_shown_has_no_secrets():
    """User, password, query and fragment are left out."""
    url = "https://me:s3cret@host:1/a/b?token=s3cret#s3cret"
    assert FILTERS["shown"](url) == "https://host:1/a/b"
    assert FILTERS["shown"]("https://me:s@cret@host?s3cret") == "https://host"
    assert FILTERS["shown"]("node1:/a?b") == "node1:/a?b"
    assert FILTERS["shown"]("http://me:s3cret/a") == "http://***"


@pytest.mark.parametrize("end", "/?#")
@pytest.mark.parametrize("password", ["s3cret{}s3cret", "12{}s3cret", "s3cret{}"])
def test_a_password_that_ends_the_host_too_early_is_not_shown(end, password):
    """It should have been escaped; it is a secret all the same."""
    url = "http://me:" + password.format(end) + "@host:8080/a.img"
    assert FILTERS["shown"](url) == "http://***@host:8080/a.img"


@pytest.mark.parametrize("url", ["http://host/a@2x.img", "http://[::1]:80/a", "s3://bucket/@"])
def test_what_is_no_user_is_shown(url):
    """An at-sign may stand in a path."""
    assert FILTERS["shown"](url) == url


@pytest.mark.parametrize(
    "argument",
    [
        "fe:/a",
        "FE:/a",
        "localhost:/a",
        "127.0.0.1:/a",
        "[::1]:/a",
        "/a",
        "http://node1/a",
        "{own}:/a",
    ],
)
def test_the_front_end_is_localhost(argument):
    """By the names that are set, by this machine's own, and for URLs."""
    argument = argument.format(own=socket.gethostname())
    assert FILTERS["target"](argument, ["fe"]) == "localhost"


@pytest.mark.parametrize("host", ["node1", "node-1.example.org", "10.1.2.3", "[2001:db8::1]"])
def test_another_host_is_itself(host):
    """As the inventory knows it."""
    assert FILTERS["target"](f"{host}:/a", ["fe"]) == host.strip("[]")


@pytest.mark.parametrize(
    "host",
    ["*", "all", "!node1", "a,b", "~x", "-oProxyCommand=x", "x y", "x\ny", "@file", "a&b", "a;b"],
)
def test_a_host_that_is_a_pattern_or_an_option_is_refused(host):
    """One action runs on one host."""
    with pytest.raises(AnsibleFilterError, match="neither a host name nor an address"):
        FILTERS["target"](f"{host}:/a")


def test_the_hosts_of_several_arguments_are_listed_once():
    """Without the front-end."""
    arguments = ["node2:/a", "node1:/a", "fe:/a", "node1:/b", "http://x/y", ""]
    assert FILTERS["targets"](arguments, ["fe"]) == ["node1", "node2"]


@given(st.text())
def test_any_text_is_split_or_refused(text):
    """Nothing else is raised, and no path comes out with empty parts."""
    assert "//" not in FILTERS["arg_path"](text) or FILTERS["arg_scheme"](text)
    assert isinstance(FILTERS["shown"](text), str)
    try:
        FILTERS["target"](text)
    except AnsibleFilterError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("source", "destination", "saved"),
    [
        ("/one/var/7/images/disk.3", "/one/var/7/disk.3", True),
        ("/vms/7/images/other", "/one/var/7/disk.3", True),
        ("/vms/7/images/disk.3", "/one/var/7/disk.3.bak", True),
        ("/vms/7/images/disk.3", "/srv/images/saved.img", True),
        ("/vms/7/images/disk.3", "/srv/images/disk.3", True),
        ("/vms/7/images/disk.3", "/srv/images", True),
        ("/vms/7/disk.3", "/srv/saved.img", True),
        ("/vms/7/images/disk.3", "/one/var/7/images/disk.3", False),
        ("/vms/7/images/disk.3", "/one/var/7/images", False),
        ("/vms/7/images", "/one/var/7/images", False),
        ("/one/var/7/images", "/one/var/7", False),
    ],
)
def test_a_disk_is_saved_where_it_leaves_the_images_of_its_vm(source, destination, saved):
    """Only then does what a guest wrote become an image."""
    assert FILTERS["saves_disk"](source, destination) is saved
