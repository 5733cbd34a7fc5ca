"""What ends a run from within when its time is over."""

import os
import resource
import subprocess
import time
from contextlib import suppress

from tm_ansible.engine import marked
from tm_ansible.engine.limits import Limits
from tm_ansible.engine.worker import _Watch


def test_a_lack_of_descriptors_puts_no_end_off_for_good() -> None:
    """Without a descriptor to look for its processes, a run is ended as soon as there is one."""
    marker = f"watch.{os.getpid()}.1"
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, marked.VARIABLE: marker})
    kept, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, kept[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        watch = _Watch(marker, Limits(0.01, 0))
        watch.start()
        time.sleep(1)
        assert watch.is_alive()
        assert watch.cause
        assert process.poll() is None
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)
    watch.join(10)
    assert process.wait(10) == -15
