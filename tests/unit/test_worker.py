"""What a worker does about a run that the kernel does not let end."""

import os
import subprocess
import sys

import msgspec

from tests.support.oned import ROOT
from tm_ansible.engine.job import Job, Message, Outcome, PlaybookRun, RunOptions

# A process in the kernel's hands cannot be made here: this is what it looks like from the worker.
PROGRAM = """
import sys, time
from tm_ansible.engine import marked, runner, worker
marked.end = lambda marker: [1]
runner.run = lambda *words: time.sleep(60)
sys.exit(worker.main())
"""


def test_a_limit_is_told_of_though_something_does_not_end() -> None:
    """The outcome comes, and the worker goes; what is left is for the driver to name."""
    action = PlaybookRun(labels=("CLONE node1",), playbook="/none.yml", variables={})
    job = Job(
        vm_id=7,
        actions=(action,),
        options=RunOptions(action_seconds=1),
        collections="/none",
        marker="t.1",
    )
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        process.stdin.flush()
        message = msgspec.json.decode(process.stdout.readline(), type=Message)
        assert process.wait(20) == 0
    assert isinstance(message, Outcome)
    assert message.reason is not None
    assert message.reason.endswith("not finished within 1 s (setting limits.action_seconds)")
