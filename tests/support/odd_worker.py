"""A worker process that behaves as the job's only action says; started by the real engine.

``python -m tests.support.odd_worker``: the action's variable ``behaviour`` names a function.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tm_ansible.engine.job import Begun, Job, Line, Message, Outcome, Severity


def say(message: Message) -> None:
    """Write a message."""
    data = msgspec.json.encode(message) + b"\n"
    while data:
        data = data[os.write(1, data) :]


def line(text: str) -> Line:
    """Make an ordinary log line."""
    return Line(severity=Severity.INFO, text=text)


def wait_for_end() -> None:
    """Return when stdin closes."""
    while os.read(0, 4096):
        pass


def good(job: Job) -> None:
    """Speak once for each action and succeed."""
    for action in job.actions:
        say(line(f"{action.labels[0]}: done"))
    say(Outcome())


def bad(job: Job) -> None:
    """Fail with details."""
    say(Outcome(reason=f"{job.labels[0]}: no space", detail=("one", "two")))


def killed(job: Job) -> None:
    """Be killed in the second action."""
    say(Begun(job.labels[1]))
    os.kill(os.getpid(), signal.SIGKILL)


def crashed(job: Job) -> None:
    """End with a traceback."""
    raise RuntimeError("a bug")


def silent(job: Job) -> None:
    """End well without an outcome."""


def noisy(job: Job) -> None:
    """Write what is no message, a line of 10 MB, and much on stderr, and succeed."""
    os.write(1, b'{"type": "line"}\nnot json\n\xff\xfe\n[[[\n')
    say(line("x" * 10_000_000))
    for _ in range(1000):
        os.write(2, b"e" * 1000 + b"\n")
    say(line("after all"))
    say(Outcome())


def orphaning(job: Job) -> None:
    """Leave a process in a session of its own behind that ignores SIGTERM, and succeed."""
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{program}; time.sleep(600)"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert child.stdout
    child.stdout.readline()
    say(line(str(child.pid)))
    say(Outcome())
    os._exit(0)


def obedient(job: Job) -> None:
    """Last until the end is asked for."""
    say(line("waiting"))
    wait_for_end()
    say(Outcome(reason="cancelled", cancelled=True))


def lingering(job: Job) -> None:
    """Succeed, and last for ever."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(Outcome())
    say(line("told"))
    time.sleep(600)


def stubborn(job: Job) -> None:
    """Last for ever, whatever is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(line("waiting"))
    time.sleep(600)


def environment(job: Job) -> None:
    """Tell the environment and where this runs."""
    for name, value in sorted(os.environ.items()):
        say(line(f"{name}={value}"))
    numbers = os.listdir("/proc/self/fd")  # noqa: PTH208 - names, not paths
    say(line(f"descriptors: {sorted(map(int, numbers))}"))
    say(line(f"session: {os.getsid(0) == os.getpid()}"))
    say(line(f"temporary: {Path(os.environ['TMPDIR']).is_dir()}"))
    say(Outcome())


def main() -> None:
    """Read the job and behave."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    globals()[str(job.actions[0].variables["behaviour"])](job)


if __name__ == "__main__":
    main()
