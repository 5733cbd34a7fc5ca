"""What is wrong with a value in a settings file, told to the person who wrote it."""

import re
from collections.abc import Iterator
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from tm_ansible.errors import SettingsError

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

# YAML 1.1 reads 0664 as the octal number 436.
_MODE = "expected a mode in quotes, such as '0664' or 'a+w'"
_DIRECTORIES = "expected an absolute path other than /, without . and .."
_CIPHERS = "expected names that 'ssh -Q cipher' tells"
_SERVERS = "expected a host's name, *.domain, an address, a network, or *"
_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a fraction",
    "int": "a whole number",
    "null": "nothing",
    "object": "a mapping",
    "str": "text",
}


def convert(values: object, kind: type[_Struct]) -> _Struct:
    """Make a struct of what a file holds.

    Args:
        values: the file's; None for an empty file.
        kind: the struct, every field of which has a default.

    Returns:
        The struct.

    Raises:
        SettingsError: a key is unknown or a value wrong; the message begins with the key.
    """
    try:
        return msgspec.convert({} if values is None else values, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(str(error), values, kind())) from None


def _explain(message: str, values: object, defaults: msgspec.Struct) -> str:
    """Say msgspec's ``… - at `$.limits.action_seconds` `` in a user's words."""
    problem, _, place = message.partition(" - at `$")
    key = place.rstrip("`").lstrip(".").replace("[...]", "")
    if " - at `key` in `" in message:
        return _explain_key(message, defaults)
    if problem.startswith("Object contains unknown field"):
        name = problem.split("`")[1]
        return _explain_unknown(f"{key}.{name}" if key else name, list(_keys(defaults)))
    problem = _expectation(key, problem, defaults)
    found = _lookup(values, key)
    got = "" if ", got" in problem or found is None else f", got {found!r}"
    return f"{key}: {problem}{got}" if key else f"{problem}{got}"


def _explain_key(message: str, defaults: msgspec.Struct) -> str:
    problem, _, key = message.partition(" - at `key` in `$")
    key = key.rstrip("`").lstrip(".")
    if problem.startswith("Invalid enum value"):
        return f"{key}: unknown key {problem.split()[-1]}; {_expectation(key, problem, defaults)}"
    return "every key must be text: put it in quotes"


def _expectation(key: str, problem: str, defaults: msgspec.Struct) -> str:
    if key.endswith("mode"):
        return _MODE
    if choices := _choices(key, defaults):
        return f"expected {', '.join(choices[:-1])} or {choices[-1]}"
    if "matching regex" in problem and key.startswith("copies.ciphers["):
        return _CIPHERS
    if "matching regex" in problem and key.startswith("urls.hosts["):
        return _SERVERS
    if "matching regex" in problem:
        return _DIRECTORIES
    problem = re.sub(r"`([^`]*)`", _in_words, problem[:1].lower() + problem[1:])
    problem = problem.replace("expected a fraction", "expected a number")
    return problem.replace(" of length >= 1", " that is not empty")


def _choices(key: str, struct: msgspec.Struct) -> tuple[str, ...]:
    """The words that a key takes, if it takes some words only."""
    name, _, rest = key.partition(".")
    if rest:
        return _choices(rest, getattr(struct, name))
    name, bracket, _ = name.partition("[")
    kind = get_type_hints(type(struct))[name] if name in struct.__struct_fields__ else None
    # Of a list its elements, of a mapping its keys; what is wrong in a mapping has a bracket.
    if get_origin(kind) is (tuple if bracket else dict):
        kind = get_args(kind)[0]
    return get_args(kind) if get_origin(kind) is Literal else ()


def _in_words(match: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(name, name) for name in match[1].split(" | "))


def _lookup(values: object, key: str) -> object:
    for name in key.split(".") if key else ():
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _explain_unknown(key: str, known: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (only a failing start needs it)

    # A known key in the wrong place is the most likely slip; then one that is misspelt.
    name = key.rpartition(".")[2]
    moved = [each for each in known if each.rpartition(".")[2] == name]
    near = moved or get_close_matches(key, known, 1) or get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"{key}: unknown key; {hint}"


def _keys(struct: msgspec.Struct, parent: str = "") -> Iterator[str]:
    for name in struct.__struct_fields__:
        yield parent + name
        value = getattr(struct, name)
        if isinstance(value, msgspec.Struct):
            yield from _keys(value, f"{parent}{name}.")
