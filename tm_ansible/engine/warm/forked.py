"""What every fork of a warm process does: work and exit, without the ways of its parent."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

# sysexits.h: EX_SOFTWARE.
_BROKEN = 70


def work(do: Callable[[], int]) -> NoReturn:
    """Do what the calling fork is there for, and exit.

    Args:
        do: gives the exit status; what it raises is printed, and the status is 70.
    """
    status = _BROKEN
    try:
        status = do()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def take_streams(descriptors: Sequence[int]) -> None:
    """Have descriptors that came as stdin, stdout and stderr.

    Args:
        descriptors: in this order.
    """
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
