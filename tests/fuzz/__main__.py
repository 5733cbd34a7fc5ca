"""Fuzz all parsers for a time, and keep what reached something new.

    python -m tests.fuzz [--seconds 600] [TARGET ...]

With atheris, which lets coverage lead it, where this Python has that; else by chance. The output
is a table in Markdown. An input that fails is shown, kept with the others, and makes the exit
status 1.
"""

import argparse
import importlib.util
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import inputs
from tests.fuzz.targets import TARGETS, digest

MOST_BYTES = 4096
# To begin with.
WORDS = (
    *(
        b"CLONE fe:/a n:/b",
        b"TRANSFER 7 /x",
        b"MKIMAGE 1 ext4 n:/b",
        b"http://u:p@h/?q",
        b"\n",
        b"\0",
    ),
    *(
        b'{"result":{"changed":true}}',
        b"QFI\xfb\0\0\0\3",
        b'A = [ a = 1, b = "2" ]',
        b"export A='b'",
    ),
    *(
        b'{"event":"runner_on_ok","event_data":{"res":{"tm_log":["x"]}}}',
        b"[::1]:/a",
        b"../",
        b"{{",
    ),
    *(b'{"entries":[["","directory",0,1,493,"",0,1,1]],"name":"a","path":"/a","host":{}}', b"\xff"),
    b"copies: {per_host: 4}\nansible:\n  config: x\n",
)


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """What came of a target."""

    target: str
    inputs: int
    seconds: float
    kept: int
    failure: bytes | None


def main() -> int:
    """Fuzz and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    options = parser.parse_args()
    each = max(options.seconds // len(options.targets), 1)
    guided = importlib.util.find_spec("atheris") is not None
    print(f"\n{'Guided by coverage (atheris)' if guided else 'By chance: no atheris here'}.\n")
    print("| target | inputs | seconds | inputs a second | kept |\n|---|---|---|---|---|")
    done = [_fuzz(target, each, guided=guided) for target in options.targets]
    print(f"| all | {sum(one.inputs for one in done):,} | | | |")
    failures = [one for one in done if one.failure is not None]
    for one in failures:
        print(f"\n{one.target} fails with {one.failure!r}")
    return 1 if failures else 0


def _fuzz(target: str, seconds: int, *, guided: bool) -> Fuzzed:
    fuzzed = (_with_atheris if guided else _by_chance)(target, seconds)
    rate = int(fuzzed.inputs / max(fuzzed.seconds, 0.001))
    print(f"| {target} | {fuzzed.inputs:,} | {fuzzed.seconds:.0f} | {rate:,} | {fuzzed.kept} |")
    sys.stdout.flush()
    return fuzzed


def _with_atheris(target: str, seconds: int) -> Fuzzed:
    """Have another process fuzz, since libFuzzer ends its own, and keep what it found."""
    with tempfile.TemporaryDirectory() as directory:
        found = Path(directory, "found")
        found.mkdir()
        _unpack(target, found)
        limits = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-timeout=10"]
        said = _libfuzzer(target, directory, *limits, str(found))
        crashes = [path.read_bytes() for path in Path(directory).glob("*-*") if path.is_file()]
        reached = [path.read_bytes() for path in found.iterdir()]
        kept = inputs.save(target, [*reached, *crashes])
    count = re.search(r"Done (\d+) runs in (\d+)", said)
    if count is None:
        print("\n".join(said.splitlines()[-30:]), file=sys.stderr)
    runs, took = (int(count[1]), int(count[2])) if count else (_last_count(said), seconds)
    return Fuzzed(target, runs, took, kept, crashes[0] if crashes else None)


def _unpack(target: str, directory: Path) -> None:
    for data in (*inputs.load(target), *WORDS):
        (directory / digest(data)).write_bytes(data)


def _libfuzzer(target: str, directory: str, *words: str) -> str:
    command = [sys.executable, "-m", "tests.fuzz.guided", target, *words]
    command.append(f"-artifact_prefix={directory}/")
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    return done.stderr


def _last_count(said: str) -> int:
    counts = re.findall(r"^#(\d+)", said, re.MULTILINE)
    return int(counts[-1]) if counts else 0


def _by_chance(target: str, seconds: int) -> Fuzzed:
    """Change inputs here and there, with no idea of what they reach."""
    chance = random.Random(target)  # noqa: S311 - to be repeated, not to be secret
    known = [*inputs.load(target), *WORDS]
    began, count, failure = time.monotonic(), 0, None
    while failure is None and time.monotonic() - began < seconds:
        for _ in range(1000):
            count += 1
            data = _changed(chance.choice(known), chance)
            try:
                TARGETS[target](data)
            except Exception:
                failure = data
                break
    kept = inputs.save(target, [*known, *([] if failure is None else [failure])])
    return Fuzzed(target, count, time.monotonic() - began, kept, failure)


def _changed(data: bytes, chance: random.Random) -> bytes:
    """Cut, double, replace or insert something, up to four times."""
    for _ in range(chance.randint(1, 4)):
        begin, end = sorted(chance.randint(0, len(data)) for _ in range(2))
        middle = chance.choice(
            (b"", data[begin:end] * 2, chance.randbytes(3), chance.choice(WORDS))
        )
        data = (data[:begin] + middle + data[end:])[:MOST_BYTES]
    return data


if __name__ == "__main__":
    sys.exit(main())
