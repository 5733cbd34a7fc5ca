"""One target under libFuzzer, whose options follow the target's name; see ``tests.fuzz``."""

import sys

import atheris

# What is imported here counts as covered or not.
with atheris.instrument_imports(include=["tm_ansible", "ansible_collections"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    _program, name, *options = sys.argv
    atheris.Setup([name, *options], TARGETS[name])
    atheris.Fuzz()
