"""What all unit tests share."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# On a busy machine one example may take long without being wrong.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _logger() -> Iterator[None]:
    """Have the product's logger as it is before a driver sets it up, in this process or earlier."""
    logger = logging.getLogger("tm_ansible")
    before = logger.propagate, logger.level, list(logger.handlers)
    logger.propagate, logger.handlers = True, []
    logger.setLevel(logging.NOTSET)
    yield
    logger.propagate, logger.handlers = before[0], before[2]
    logger.setLevel(before[1])
