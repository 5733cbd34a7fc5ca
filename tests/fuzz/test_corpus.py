"""What fuzzing has found so far, given to every parser once more."""

import pytest

from tests.fuzz import inputs
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_that_are_kept(target: str) -> None:
    """No parser raises what is not its error, or lets through what it must not."""
    kept = inputs.load(target)
    assert kept, "no corpus: run make fuzz"
    for data in kept:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_of_the_other_parsers(target: str) -> None:
    """Nor with what was found for another."""
    for other in TARGETS:
        for data in inputs.load(other):
            TARGETS[target](data)
