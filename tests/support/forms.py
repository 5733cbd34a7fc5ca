"""The short form of the tests, which each change must pass, and the full one (`make faults`)."""

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet


def in_full(*cases: object) -> Iterator[ParameterSet]:
    """Mark cases of a parametrized test as those of the full form.

    Args:
        cases: each the value of the only parameter, or a tuple with one of each.
    """
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        yield pytest.param(*values, marks=pytest.mark.long)
