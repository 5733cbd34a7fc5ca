"""The end that a signal asks for."""

import subprocess
import sys

# The signal comes to another thread, as one does that comes just before the wait: it ends none.
READER = """\
import os, signal, sys, threading, time
from tm_ansible.stdio import Ending, read_chunks, settle_signals

def end():
    time.sleep(0.5)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.pthread_kill(threading.get_ident(), number)
    time.sleep(60)

ending = Ending()
settle_signals(ending)
threading.Thread(target=end, daemon=True).start()
for chunk in read_chunks(0, ending):
    pass
os._exit(7)
"""


def test_sigterm_ends_the_reading_whoever_gets_it() -> None:
    """A signal is heard even if it does not interrupt the wait for oned's next line."""
    command = [sys.executable, "-c", READER]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            assert process.wait(20) == 7
        finally:
            process.kill()
