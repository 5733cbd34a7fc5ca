"""A program in a fork of the process that asks for it."""

import os
import time

import pytest
from ansible_collections.one.tm.plugins.plugin_utils.fork import Fork
from ansible_collections.one.tm.plugins.plugin_utils.side import Side

SECONDS = 5.0


def test_killed_before_it_leads_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork that has not come to its setsid(2) yet is killed all the same, and not waited for."""
    lead = os.setsid

    def late() -> None:
        time.sleep(SECONDS)
        lead()

    monkeypatch.setattr(os, "setsid", late)
    reading, writing = os.pipe()
    began = time.monotonic()
    side = Side(None, Fork(writing, "stream", ()))
    os.close(writing)
    side.end()
    assert time.monotonic() - began < SECONDS
    assert side.process.returncode == -9
    os.close(reading)
