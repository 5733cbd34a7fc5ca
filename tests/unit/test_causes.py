"""Causes in words that tell a person what to do."""

import time

import pytest

from tm_ansible.engine.causes import plain_cause, plain_complaint


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused", "refused the connection"),
        ("[Errno 32] Broken pipe. [Errno 32] Broken pipe", "ssh ended at once: it was refused"),
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


def test_unparsable_yaml_reads_alike_in_all_versions() -> None:
    """Older releases of ansible-core say what is wrong, and where, some lines further down."""
    older = [
        "We were unable to read either as JSON nor YAML, these are the errors we got from each:",
        "Syntax Error while loading YAML.",
        "did not find expected node content",
        "The error appears to be in '/etc/one/clone.yml': line 2, column 1, but may",
    ]
    newer = ["YAML parsing failed: did not find it.", "Origin: /etc/one/clone.yml:2:1", "1 - hosts"]
    assert plain_complaint(older) == (
        "YAML parsing failed: did not find expected node content "
        "The error appears to be in '/etc/one/clone.yml': line 2, column 1, but may"
    )
    assert plain_complaint(newer) == (
        "YAML parsing failed: did not find it. Origin: /etc/one/clone.yml:2:1"
    )


def test_endless_text_takes_no_time() -> None:
    """A message of megabytes without a blank is looked at as quickly as a short one."""
    began = time.monotonic()
    text = plain_cause(["\x1b[31mred" * 200_000, "python" * 300_000])
    assert time.monotonic() - began < 10
    assert len(text) < 20_000
