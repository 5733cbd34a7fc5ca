"""The driver's arguments."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.arguments import Arguments, parse_arguments, split_arguments
from tm_ansible.errors import SettingsError


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("tm_ssh/tm_ssh.conf", Arguments("tm_ssh/tm_ssh.conf")),
        ("-t 15 tm_ssh/tm_ssh.conf", Arguments("tm_ssh/tm_ssh.conf", 15)),
        ("/etc/one/x.conf -t 1", Arguments("/etc/one/x.conf", 1)),
        ("'with blank/x.conf'", Arguments("with blank/x.conf")),
    ],
)
def test_one_string_is_understood(argument: str, expected: Arguments) -> None:
    """Oned passes all arguments as one string, which is split as a shell would."""
    assert parse_arguments(split_arguments([argument])) == expected


def test_words_of_a_shell_are_understood() -> None:
    """A person's shell has split the words already."""
    words = split_arguments(["-t", "3", "a b.conf"])
    assert parse_arguments(words) == Arguments("a b.conf", 3)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("", "no action map"),
        ("a.conf b.conf", "more than one action map"),
        ("-d ssh,nfs a.conf", "unknown option -d"),
        ("-t", "option -t : give it a number"),
        ("-t x a.conf", "option -t x: give it a number"),
        ("-t 0 a.conf", "option -t 0: give it a number"),
        ("-t -5 a.conf", "option -t -5: give it a number"),
        ("-t 1001 a.conf", "option -t 1001: give it a number"),
    ],
)
def test_what_is_wrong_is_named(argument: str, reason: str) -> None:
    """Each mistake has a reason of its own."""
    with pytest.raises(SettingsError, match=reason):
        parse_arguments(split_arguments([argument]))


@given(st.text())
def test_no_string_raises_anything_else(argument: str) -> None:
    """Whatever oned.conf says, it is understood or refused."""
    with contextlib.suppress(SettingsError):
        assert parse_arguments(split_arguments([argument])).action_map
