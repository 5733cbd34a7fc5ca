"""Transfer scripts and the places that they name."""

import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.errors import ScriptError
from tm_ansible.script import (
    MAX_ACTIONS,
    MAX_SCRIPT,
    Action,
    Endpoint,
    Url,
    Verb,
    parse_endpoint,
    parse_script,
    parse_source,
    read_script,
    render_script,
)

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "oned-1.2").glob("*/*"))

ODD_WORD = st.text(
    st.sampled_from("nodefe1:/.-[]~%$(){}`'\";|&*?\\#@\u202e\xa0\r\n\0 \t")
    | st.characters(codec=None)
)
NAME = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1)
PATH_NAMES = st.lists(
    NAME.filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255), min_size=1
)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_real_scripts_are_read(path):
    """Scripts that a running oned 1.2 wrote: every line is an action, every place is one."""
    text = read_script(str(path))
    actions = parse_script(text)
    assert [action.line for action in actions] == list(range(1, text.count("\n") + 1))
    assert render_script(actions) == text
    for action in actions:
        place = parse_endpoint(action.arguments[-1], role="destination")
        assert place.path.startswith("/srv/cloud/one/var/")
        assert "//" not in place.path


def test_there_are_real_scripts():
    """The fixtures are all there: five phases in two models."""
    assert len(FIXTURES) == 10


def test_lines_are_actions():
    """Comments and blank lines are skipped, blanks and case do not matter, CRLF is fine."""
    text = "# prolog\r\n\r\n\tclone  fe:/a \t n:/b \r\n   # no\nMkSwap 16 n:/c#x\n\nDELETE"
    assert parse_script(text) == (
        Action(3, Verb.CLONE, ("fe:/a", "n:/b")),
        Action(5, Verb.MKSWAP, ("16", "n:/c#x")),
        Action(7, Verb.DELETE, ()),
    )


@pytest.mark.parametrize("text", ["", "\n", "# x\n", " \r\n"])
def test_a_script_without_actions_is_empty(text):
    """An empty script is one that has nothing to do."""
    assert parse_script(text) == ()


@pytest.mark.parametrize("word", ["FOO", "CLONE.sys", "mk\u017fwap", "CLONE\xa0a:/b", "CLONE\vx"])
def test_an_unknown_action_is_refused_with_its_line(word):
    """The reason names the line, the word and the known actions."""
    with pytest.raises(ScriptError, match=r"^line 2: unknown action .*CLONE, LN") as caught:
        parse_script(f"\n{word} a:/b\n")
    assert "\v" not in str(caught.value)


def test_no_quoting():
    """Quotes, dollars and line separators of Unicode are parts of words."""
    (action,) = parse_script("DELETE 'a \"$(x)\u2028\x85\vb\n")
    assert action.arguments == ("'a", '"$(x)\u2028\x85\vb')


def test_too_many_actions():
    """A script of endless length is refused."""
    line = "DELETE n:/a\n"
    assert len(parse_script(line * MAX_ACTIONS)) == MAX_ACTIONS
    with pytest.raises(ScriptError, match=f"^line {MAX_ACTIONS + 1}: more than {MAX_ACTIONS}"):
        parse_script(line * (MAX_ACTIONS + 1))


@given(st.text(st.sampled_from("CLONE LN MV mkswap # \r\n\t n:/a") | st.characters(codec=None)))
def test_no_script_raises_anything_else(text):
    """Whatever the text, it is read or refused by line; what is read renders to the same."""
    try:
        actions = parse_script(text)
    except ScriptError as error:
        assert str(error).startswith("line ")  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert parse_script(render_script(actions)) == actions


WORD = st.text(st.characters(exclude_characters=" \t\r\n", codec="utf-8"), min_size=1)


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from(Verb), st.lists(WORD, max_size=4)), max_size=6
    )
)
def test_rendered_actions_are_read_back(parts):
    """Actions with their line numbers survive being written and read."""
    actions, line = [], 0
    for gap, verb, words in parts:
        line += gap
        actions.append(Action(line, verb, tuple(words)))
    assert parse_script(render_script(actions)) == tuple(actions)


def test_actions_without_lines_are_rendered_in_order():
    """Actions that were never in a file are written one below the other."""
    actions = (Action(1, Verb.LN, ("a:/b", "c:/d")), Action(1, Verb.DELETE, ("c:/d",)))
    assert render_script(actions) == "LN a:/b c:/d\nDELETE c:/d\n"


def test_a_script_is_read(tmp_path):
    """A file of text is read as it is."""
    path = tmp_path / "transfer.0"
    path.write_bytes("LN fe:/é n:/b\r\n".encode())
    assert read_script(str(path)) == "LN fe:/é n:/b\r\n"


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (str, "does not exist"),
        (lambda path: path.mkdir(), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels"),
        (lambda path: path.write_bytes(b"#" * (MAX_SCRIPT + 1)), "larger than 1048576 bytes"),
        (lambda path: path.write_bytes(b"LN a\0b\n"), "binary"),
        (lambda path: path.write_bytes(b"\nLN a:/\xff b\n"), r"not UTF-8 \(line 2\)"),
        (lambda path: path.write_bytes(b"\xed\xa0\x80"), "not UTF-8"),
    ],
)
def test_what_is_no_script_is_refused(tmp_path, make, cause):
    """Each thing that is no transfer script has a reason of its own, and blocks nothing."""
    path = tmp_path / "transfer.0"
    make(path)
    before = _open_files()
    with pytest.raises(ScriptError, match=f"^transfer script .*transfer.0 .*{cause}"):
        read_script(str(path))
    assert _open_files() == before


@pytest.mark.parametrize(
    ("name", "cause"),
    [("/a\0b", "impossible name"), ("/x\udcff", "does not exist"), ("x" * 5000, "too long")],
)
def test_odd_script_names_are_refused(name, cause):
    """A name that no file can have is a reason, not a crash."""
    with pytest.raises(ScriptError, match=cause) as caught:
        read_script(name)
    assert str(caught.value).isprintable()


def test_the_largest_script_is_read(tmp_path):
    """The limit itself is allowed."""
    path = tmp_path / "t"
    path.write_bytes(b"#" * MAX_SCRIPT)
    assert len(read_script(str(path))) == MAX_SCRIPT


@pytest.mark.parametrize(
    ("word", "host", "path"),
    [
        ("node1:/srv//one/var//7/images/", "node1", "/srv/one/var/7/images"),
        ("node-1.example.org:/a/./b", "node-1.example.org", "/a/b"),
        ("192.0.2.7:/a", "192.0.2.7", "/a"),
        ("[2001:db8::7]:/a", "2001:db8::7", "/a"),
        ("host_1:/a:b", "host_1", "/a:b"),
        ("h:/a'b\"c$(d)`e`;f{{g}}%h\\i*?\u202e", "h", "/a'b\"c$(d)`e`;f{{g}}%h\\i*?\u202e"),
        ("h:/...", "h", "/..."),
        ("h:///a", "h", "/a"),
        ("a" * 63 + ":/x", "a" * 63, "/x"),
        ("h:/" + "é" * 127, "h", "/" + "é" * 127),
    ],
)
def test_places_are_read(word, host, path):
    """Host and path of an argument, the path normalised and otherwise literal."""
    assert parse_endpoint(word, role="destination") == Endpoint(host, path)


@pytest.mark.parametrize(
    ("word", "cause"),
    [
        ("", "<host>:<path>"),
        ("/a/b", "<host>:<path>"),
        (":/a", "names no host"),
        ("h:", "path is empty"),
        ("h:a/b", "not absolute"),
        ("h:/", "root directory"),
        ("h://.//", "root directory"),
        ("h:/a/../b", "'..'"),
        ("h:/..", "'..'"),
        ("-oProxyCommand=x:/a", "begins with '-'"),
        ("h,x:/a", "neither a name nor an address"),
        ("h x:/a", "neither a name nor an address"),
        ("root@h:/a", "neither a name nor an address"),
        ("h{{x}}:/a", "neither a name nor an address"),
        ("h*:/a", "neither a name nor an address"),
        ("~h:/a", "neither a name nor an address"),
        ("h..x:/a", "neither a name nor an address"),
        ("h-:/a", "neither a name nor an address"),
        ("hé:/a", "neither a name nor an address"),
        (".".join(["a" * 60] * 5) + ":/a", "neither a name nor an address"),
        ("all:/a", "keeps for a group"),
        ("Ungrouped:/a", "keeps for a group"),
        ("[::g]:/a", "not an IPv6 address"),
        ("[fe80::1%eth0]:/a", "not an IPv6 address"),
        ("[node1]:/a", "not an IPv6 address"),
        ("[]:/a", "not an IPv6 address"),
        ("::1:/a", "names no host"),
        ("h:/a\x1bb", "control characters"),
        ("h:/a\nb", "control characters"),
        ("h:/a\0", "control characters"),
        ("h:/\udcff", "not UTF-8"),
        ("h:/" + "x" * 256, "more than 255 bytes"),
        ("h:/" + "é" * 128, "more than 255 bytes"),
        ("h:" + "/abcdefg" * 512, "longer than 4095 bytes"),
    ],
)
def test_what_is_no_place_is_refused(word, cause):
    """Each wrong argument has a reason of its own, on one printable line."""
    with pytest.raises(ScriptError) as caught:
        parse_endpoint(word, role="destination")
    assert cause in str(caught.value)
    assert "destination" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("word", "path"),
    [("fe:/", "/"), ("fe:/a/./b//c/", "/a/b/c"), ("fe://x", "/x")],
)
def test_what_is_only_read_may_be_anywhere(word, path):
    """A source that nothing changes may be the root, but is not reached by '..'."""
    assert parse_endpoint(word, role="source", read_only=True) == Endpoint("fe", path)
    with pytest.raises(ScriptError, match=r"holds '\.\.', which no path may"):
        parse_endpoint(f"{word}/../a", role="source", read_only=True)


@given(ODD_WORD, st.sampled_from((parse_source, partial(parse_endpoint, role="destination"))))
def test_no_argument_raises_anything_else(word, parse):
    """Whatever the word, it is a place, a URL, or refused; what is read is read again the same."""
    try:
        place = parse(word)
    except ScriptError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert parse(str(place)) == place


@given(st.sampled_from(("node1", "10.0.0.1", "2001:db8::1", "a.b-c")), PATH_NAMES)
def test_rendered_places_are_read_back(host, names):
    """A place survives being written and read, with any character that a file name may have."""
    place = Endpoint(host, ("/" + "/".join(names)))
    if len(place.path.encode()) <= 4095 and not any(
        "\x7f" <= each <= "\x9f" for each in place.path
    ):
        assert parse_endpoint(str(place), role="source") == place


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("http://host/a.img", "http://host/a.img"),
        ("http://host/a@2x.img", "http://host/a@2x.img"),
        ("https://joe:pass@host:8080/a", "https://***@host:8080/a"),
        ("ftp://joe:p@ss@host/a", "ftp://***@host/a"),
        ("http://joe@host?token=1", "http://***@host?***"),
        ("http://host/a?token=1#x", "http://host/a?***"),
        ("s3+x.y-z://bucket/key", "s3+x.y-z://bucket/key"),
        ("swift://", "swift://"),
        ("http://joe:pa/ss@host:80/a", "http://***@host:80/a"),
        ("http://joe:pa#ss@host/a", "http://***@host/a"),
        ("http://joe:12?ss@host/a", "http://***@host/a"),
        ("http://joe:pa/ss", "http://***"),
        ("http://[::1]:80/a.img", "http://[::1]:80/a.img"),
    ],
)
def test_urls_are_kept_and_shown_without_secrets(word, shown):
    """A URL goes on untouched; for a log it has no user, password or query."""
    url = parse_source(word)
    assert url == Url(word)
    assert str(url) == word
    assert url.shown == shown


@pytest.mark.parametrize(
    ("word", "cause"),
    [
        ("http://-oProxyCommand=x/a", "begins with '-'"),
        ("http://joe:pass@-x/a", "begins with '-'"),
        ("http://h/a\x00", "control characters"),
        ("http://joe:pass@h/\udcff", "not UTF-8"),
        ("h_t://x", None),
        ("1http:x", "not absolute"),
    ],
)
def test_odd_urls(word, cause):
    """A URL's host is no option, its text is text; and what has no scheme is a place."""
    if cause is None:
        assert isinstance(parse_source(word), Endpoint)
        return
    with pytest.raises(ScriptError, match=cause) as caught:
        parse_source(word)
    assert "pass" not in str(caught.value)


def test_a_long_url_is_shown_without_secrets():
    """Where a message cuts a URL short, that does not bring its password back."""
    for word in (f"http://joe:{'s3cret' * 40}@host/a\x00", f"http://h/a?{'s3cret' * 40}\x00"):
        with pytest.raises(ScriptError) as caught:
            parse_source(word)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("word", ["fe://srv//a.img", "FE://srv/a.img"])
def test_a_host_that_is_known_is_no_scheme(word):
    """Two slashes stand behind a host when the path begins with two, as oned writes it."""
    assert parse_source(word, hosts={"fe"}) == Endpoint(word[:2], "/srv/a.img")
    assert parse_source(word) == Url(word)


@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
def test_the_web_is_the_web_on_a_host_of_that_name_too(scheme):
    """A machine named ftp still downloads by ftp."""
    assert parse_source(f"{scheme}://host/a", hosts={scheme}) == Url(f"{scheme}://host/a")


def test_sources():
    """A source on another host is a place, whatever its name."""
    assert parse_source("http:/a") == Endpoint("http", "/a")
    assert parse_source("other:/b/./c") == Endpoint("other", "/b/c")
