"""Causes in words that tell a person what to do."""

import pytest

from tm_ansible.engine.causes import plain_cause


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused", "refused the connection"),
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out", "no answer"),
        ("ssh: Could not resolve hostname node9: Name or service not known", "node9 is unknown"),
        ("Host key verification failed.", "the host key is not the one known"),
        ("oneadmin@node1: Permission denied (publickey).", "did not accept the key"),
        ("/bin/sh: 1: /usr/bin/python3: not found", "there is no /usr/bin/python3"),
        ("sudo: a password is required", "sudo wants a password"),
    ],
)
def test_known_trouble_is_reworded(said: str, told: str) -> None:
    """Each trouble that operators meet has a sentence of its own."""
    assert told in plain_cause([said])


def test_prefixes_of_ansible_are_dropped() -> None:
    """Only what is left behind Ansible's own prefixes is a cause."""
    assert plain_cause(["Task failed: Action failed: no such image"]) == "no such image"


def test_last_line_of_a_traceback_is_the_cause() -> None:
    """A traceback's last line says what happened."""
    traceback = 'Traceback (most recent call last):\n  File "x"\nOSError: disk on fire\n'
    assert plain_cause([traceback]) == "OSError: disk on fire"


def test_silence_has_a_fallback() -> None:
    """A reason is never empty."""
    assert plain_cause(["", "  "])
