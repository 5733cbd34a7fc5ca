"""What all tests share."""

import os
import sys
from pathlib import Path

import pytest

from tests.support import oned

# Programs of this environment, Ansible's above all, whether or not it is activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"


@pytest.fixture(autouse=True)
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs of tests that are marked so start warm, unless all are to start in one way."""
    if "TM_TEST_WARM" not in os.environ and request.node.get_closest_marker("warm"):
        monkeypatch.setattr(oned, "WARM", True)
