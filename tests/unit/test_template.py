"""oned's template grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.errors import SettingsError
from tm_ansible.template import parse_template

NAMES = st.text("abYZ_", min_size=1, max_size=6)
QUOTED = st.text(st.characters(exclude_characters='"\\', codec="utf-8"))
BARE = st.text(st.characters(exclude_characters=' \t\r\n=,[]#"', codec="utf-8"), min_size=1)

ONED_CONF = """\
# The port
PORT=2633
VM_DIR = "/srv/cloud/one/vms"   # where the VMs are
IM_MAD = [ name = "im", executable = "one_im_ssh" ]

TM_MAD = [
    name       = "tm_nfs",   # a comment = [ inside
    executable = "one_tm",
    arguments  = "tm_nfs/tm_nfs.conf",
    default    = "" ]
tm_mad = [ NAME=other,EXECUTABLE=/usr/bin/x ]
DEFAULT_IMAGE_TYPE = "OS"
default_image_type = CDROM
"""


def test_oned_conf_is_read():
    """Values, quotes, vectors over several lines, comments and repeated names are understood."""
    template = parse_template(ONED_CONF)
    assert template.get("port") == "2633"
    assert template.get("VM_DIR") == "/srv/cloud/one/vms"
    assert template.vectors("TM_MAD") == [
        {
            "NAME": "tm_nfs",
            "EXECUTABLE": "one_tm",
            "ARGUMENTS": "tm_nfs/tm_nfs.conf",
            "DEFAULT": "",
        },
        {"NAME": "other", "EXECUTABLE": "/usr/bin/x"},
    ]
    assert template.get("TM_MAD") is None
    assert template.vectors("PORT") == []


def test_the_last_of_repeated_values_wins_and_all_are_kept():
    """A name may come again, in any case; the order stays."""
    template = parse_template(ONED_CONF)
    assert template.get("DEFAULT_IMAGE_TYPE") == "CDROM"
    assert [name for name, _ in template.items()] == [
        "PORT",
        "VM_DIR",
        "IM_MAD",
        "TM_MAD",
        "TM_MAD",
        "DEFAULT_IMAGE_TYPE",
        "DEFAULT_IMAGE_TYPE",
    ]
    assert [attribute.line for attribute in template.attributes] == [2, 3, 4, 6, 11, 12, 13]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing", "  \t\r\n# x\r\n"])
def test_a_text_without_attributes_is_empty(text):
    """Blank lines and comments set nothing."""
    assert parse_template(text).items() == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("CLONE", 1, "'=' behind CLONE"),
        ("A = b\nCLONE =\nLN = x", 2, "a value of CLONE"),
        ("A = b c", 1, 'with blanks needs ""'),
        ('A = a"b"', 1, "the end of the line"),
        ("= x", 1, "a name"),
        ("\n\n7A = x", 3, "a name"),
        ('A = "b\nc\n', 1, "not closed"),
        ("A = [ B = c", 1, "bracket of A is not closed"),
        ("A = [ B = c,\n", 1, "bracket of A is not closed"),
        ("A = [ ]", 1, "a name"),
        ("A = [ B = c\n D = e ]", 2, "',' or ']' behind B"),
        ("A = [ B = [ C = d ] ]", 1, "a value of B"),
        ("A = ]", 1, "a value of A"),
        ("A = [ B = c ] d", 1, "the end of the line"),
    ],
)
def test_errors_name_line_and_expectation(text, line, words):
    """What breaks the grammar is refused with its line and with what should be there."""
    with pytest.raises(SettingsError) as caught:
        parse_template(text)
    assert str(caught.value).startswith(f"line {line}: ")
    assert words in str(caught.value)


def test_a_quoted_value_keeps_its_marks():
    """Between quotes only the quote itself needs a backslash."""
    template = parse_template('A = "= , [ ] # \\n \\" \' "\nB = "two\nlines"\nC = d')
    assert template.get("A") == "= , [ ] # \\n \" ' "
    assert template.get("B") == "two\nlines"
    assert template.attributes[2].line == 4


@given(st.text(st.sampled_from('AB= ,[]#"\\\n\tx') | st.characters()))
def test_no_text_raises_anything_else(text):
    """Whatever the text, it is read or refused by name."""
    try:
        parse_template(text)
    except SettingsError as error:
        assert str(error).startswith("line ")  # noqa: PT017


@given(
    st.lists(st.tuples(NAMES, QUOTED | st.dictionaries(NAMES.map(str.upper), QUOTED, min_size=1)))
)
def test_what_is_written_is_read(pairs):
    """Written values come back as they were, in order."""
    text = ""
    for name, value in pairs:
        if isinstance(value, str):
            text += f'{name} = "{value}"\n'
        else:
            inner = ",\n  ".join(f'{key} = "{each}"' for key, each in value.items())
            text += f"{name} = [\n  {inner} ]  # end\n"
    expected = [(name.upper(), value) for name, value in pairs]
    read = [
        (name, value if isinstance(value, str) else dict(value))
        for name, value in parse_template(text).items()
    ]
    assert read == expected


@given(BARE)
def test_bare_values_are_literal(value):
    """A value without quotes is taken as it stands."""
    assert parse_template(f"A={value}\n").get("a") == value
