"""Ask ``qemu-img info`` about an image that nobody trusts, and end it when it takes too much."""

import contextlib
import functools
import json
import os
import resource
import signal
import subprocess
import threading
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from ansible_collections.one.tm.plugins.module_utils import lifeline, programs
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

SECONDS = 30
CPU_SECONDS = 10
MEMORY_BYTES = 1 << 30
OUTPUT_BYTES = 1 << 20
ERROR_BYTES = 4096
REMEDY = "mend it, or declare that it is raw (tm_format: raw)"


def info(descriptor: int, format_: str) -> Dict[str, Any]:
    """Return what qemu-img says of an image.

    It sees the open file, not a name, and does not open the backing file (qemu-img(1)).

    Args:
        descriptor: of the image, open for reading.
        format_: the format that it has to be in; QEMU's name.

    Raises:
        TmError: qemu-img is missing, does not accept the image, or takes more than it may.
    """
    argv = [_program(), "info", "--output=json", "-U", "-f", format_]
    status, output, errors = _run([*argv, "/proc/self/fd/%d" % descriptor], descriptor)
    if len(output) > OUTPUT_BYTES:
        raise TmError("qemu-img says more than %d bytes of it; %s" % (OUTPUT_BYTES, REMEDY))
    if status < 0:
        raise TmError("qemu-img takes too long, or too much memory, to read it; " + REMEDY)
    if status > 0:
        last = (errors.strip().splitlines() or ["status %d" % status])[-1]
        raise TmError("qemu-img does not accept it: %s; %s" % (last, REMEDY))
    return _object(output)


def _program() -> str:
    try:
        return programs.find("qemu-img", "qemu-utils")
    except TmError as error:
        raise TmError(error.message + ", or declare that images are raw (tm_format: raw)") from None


def _run(argv: Sequence[str], descriptor: int) -> Tuple[int, bytes, str]:
    """Run a program under limits; return its status, its output and its errors."""
    start = functools.partial(
        subprocess.Popen,
        [programs.find("prlimit", "util-linux"), *_limits(), "--", *argv],
        env=dict(os.environ, LC_ALL="C", LANGUAGE="C"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(descriptor,),
        start_new_session=True,
    )
    with lifeline.child(start) as process, process, _clock(process):
        output = process.stdout.read(OUTPUT_BYTES + 1)  # type: ignore[union-attr]
        if len(output) > OUTPUT_BYTES:
            _kill(process)
        errors = process.stderr.read(ERROR_BYTES)  # type: ignore[union-attr]
        process.wait()
    return process.returncode, output, errors.decode("utf-8", "replace")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a program and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _limits() -> List[str]:
    """Return prlimit(1)'s options; what is limited to less already stays so."""
    wanted = (
        ("cpu", resource.RLIMIT_CPU, CPU_SECONDS),
        ("as", resource.RLIMIT_AS, MEMORY_BYTES),
        ("fsize", resource.RLIMIT_FSIZE, 0),
        ("core", resource.RLIMIT_CORE, 0),
    )
    options = []
    for name, what, most in wanted:
        hard = resource.getrlimit(what)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        options.append("--%s=%d" % (name, value))
    return options


@contextlib.contextmanager
def _clock(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kill a process that takes too long."""
    timer = threading.Timer(SECONDS, _kill, [process])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _object(output: bytes) -> Dict[str, Any]:
    try:
        value = json.loads(output.decode("utf-8", "surrogateescape"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise TmError("what qemu-img says of it cannot be understood; " + REMEDY)
    return value
