"""What oned and the driver say to each other."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.engine.job import Severity
from tm_ansible.protocol import (
    MAX_LINE,
    DriverCancel,
    Finalize,
    Init,
    Malformed,
    Transfer,
    clean,
    init_failure,
    init_success,
    parse_request,
    render_log,
    render_reply,
)

ANY_TEXT = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b"INIT\n", Init()),
        (b"INIT", Init()),
        (b"FINALIZE\n", Finalize()),
        (b"TRANSFER 7 /var/7/transfer.0\n", Transfer(7, "/var/7/transfer.0")),
        (b"TRANSFER  7 /var/7/transfer.0\n", Transfer(7, "/var/7/transfer.0")),
        (b"TRANSFER \t 7\t/var/7/transfer.0 \r\n", Transfer(7, "/var/7/transfer.0")),
        (b"TRANSFER 0 /a b/c  d\n", Transfer(0, "/a b/c  d")),
        (b"TRANSFER 7 /\xff\n", Transfer(7, "/\udcff")),
        (b"DRIVER_CANCEL  12\n", DriverCancel(12)),
        (b"DRIVER_CANCEL 12 -\n", DriverCancel(12)),
        (b"\n", None),
        (b" \t\r\n", None),
        (b"", None),
    ],
)
def test_requests_are_read(line, request_):
    """Each form that oned writes is understood, with one blank or more between the fields."""
    assert parse_request(line) == request_


@pytest.mark.parametrize(
    ("line", "vm_id"),
    [
        (b"TRANSFER 7\n", 7),
        (b"TRANSFER  7 \n", 7),
        (b"TRANSFER\n", None),
        (b"TRANSFER abc x\n", None),
        (b"TRANSFER -7 x\n", None),
        (b"TRANSFER 1_0 x\n", None),
        ("TRANSFER \u0661 x\n".encode(), None),
        (b"TRANSFER 99999999999999999999 x\n", None),
        (b"TRANSFER 4294967295 x\n", None),
        (b"DRIVER_CANCEL x\n", None),
        (b"DRIVER_CANCEL\n", None),
        (b"init\n", None),
        (b"LAUNCH 7 x\n", None),
    ],
)
def test_bad_lines_are_malformed(line, vm_id):
    """A line that asks for nothing says why, and names the VM only if it waits for an answer."""
    request = parse_request(line)
    assert isinstance(request, Malformed)
    assert request.vm_id == vm_id
    assert request.reason
    assert request.text == line.decode().strip()


@given(st.binary() | st.binary().map(lambda data: b"TRANSFER " + data))
def test_no_line_raises(line):
    """Whatever bytes arrive, a request or nothing comes out, ready for a log."""
    request = parse_request(line)
    if isinstance(request, Malformed):
        request.text.encode()


@given(st.integers(0, 2**31 - 1), st.text("/ab .é", min_size=1), st.sampled_from((" ", "  ")))
def test_transfers_come_back(vm_id, path, blanks):
    """Number and path of a TRANSFER are what oned wrote, whatever its version."""
    path = f"/{path}/t"
    line = f"TRANSFER{blanks}{vm_id} {path}\n"
    assert parse_request(line.encode()) == Transfer(vm_id, path)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain é 漢 🙂", "plain é 漢 🙂"),
        ("a\tb\nc\r\nd\re", "a b c d e"),
        ("\x1b[31m\x00\x7f\x85", r"\x1b[31m\x00\x7f\x85"),
        ("a\u202eb\u200bc\u2028d\ufeff", r"a\u202eb\u200bc\u2028d\ufeff"),
        ("\udcff\ud800", r"\xff\ud800"),
        ("\ufffe\U0001ffff\ue000", r"\ufffe\U0001ffff\ue000"),
        ("\xa0", "\xa0"),
    ],
)
def test_odd_characters_become_visible(text, cleaned):
    """Newlines become blanks; what a terminal or oned would act on is spelt out."""
    assert clean(text) == cleaned


@given(ANY_TEXT)
def test_cleaned_text_is_one_printable_line(text):
    """No control, format, separator or broken character is left, and cleaning again is nothing."""
    cleaned = clean(text)
    cleaned.encode()
    bad = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}
    assert not bad & {unicodedata.category(character) for character in cleaned}
    assert clean(cleaned) == cleaned


def test_log_line():
    """A short text is one LOG line."""
    assert render_log(Severity.WARNING, 7, "copied\n") == [b"LOG W 7 copied\n"]
    assert render_log(Severity.INFO, -1, "  é") == ["LOG I -1   é\n".encode()]


@pytest.mark.parametrize("text", ["", " ", "\n\t\r\n"])
def test_blank_text_gives_no_log_line(text):
    """Nothing is said where there is nothing to say."""
    assert render_log(Severity.INFO, 7, text) == []


@given(ANY_TEXT, st.integers(1, 400))
def test_log_lines_are_whole(text, times):
    """Each part is one line of UTF-8 within the limit, and together they hold every word."""
    lines = render_log(Severity.INFO, 7, text * times)
    parts = []
    for line in lines:
        assert len(line) <= MAX_LINE
        assert line.startswith(b"LOG I 7 ")
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        parts.append(line.decode()[len("LOG I 7 ") : -1])
    assert "".join(parts).replace(" ", "") == clean(text * times).rstrip().replace(" ", "")


def test_long_log_text_is_split_between_words():
    """A text with blanks is never cut inside a word."""
    words = [f"word{number}" for number in range(3000)]
    lines = render_log(Severity.INFO, 7, " ".join(words))
    assert len(lines) > 1
    assert [word for line in lines for word in line.decode().split()[3:]] == words


def test_long_log_text_without_blanks_is_split_between_characters():
    """A character of several bytes is never torn apart, whatever its place."""
    for shift in range(4):
        text = "x" * shift + "漢" * 5000
        lines = render_log(Severity.INFO, 7, text)
        assert "".join(line.decode()[len("LOG I 7 ") : -1] for line in lines) == text


def test_replies():
    """A TRANSFER is answered in oned's words."""
    assert render_reply(7, None) == b"TRANSFER SUCCESS 7 -\n"
    assert render_reply(7, "no space\nleft") == b"TRANSFER FAILURE 7 no space left\n"
    assert init_success() == b"INIT SUCCESS\n"
    assert init_failure("no map") == b"INIT FAILURE no map\n"


def test_a_reason_cannot_forge_a_reply():
    """A newline in a reason does not begin another message."""
    line = render_reply(7, "bad\nTRANSFER SUCCESS 7 -\x00")
    assert line == b"TRANSFER FAILURE 7 bad TRANSFER SUCCESS 7 -\\x00\n"


@pytest.mark.parametrize("reason", ["", " ", "-", "\n", "- -", "-\n"])
def test_a_reason_is_never_empty(reason):
    """Oned takes an empty reason or "-" for none, so there is always another."""
    assert render_reply(7, reason).split(b" ", 3)[3][:1].isalpha()
    assert init_failure(reason).split(b" ", 2)[2][:1].isalpha()


@given(ANY_TEXT, st.integers(1, 400))
def test_reasons_fit(reason, times):
    """A reason is one line of UTF-8 within the limit, and does not begin with a dash or blank."""
    for line in (render_reply(2**31 - 1, reason * times), init_failure(reason * times)):
        assert len(line) <= MAX_LINE
        text = line.decode()
        assert text.count("\n") == 1
        body = text[
            len("TRANSFER FAILURE 2147483647 ") if text[0] == "T" else len("INIT FAILURE ") :
        ]
        assert body.strip()
        assert body[0] not in " -"


def test_a_long_reason_is_marked():
    """A reader sees that a reason was cut."""
    line = render_reply(7, "x" * 5000)
    assert len(line) == MAX_LINE
    assert line.endswith("x…\n".encode())
