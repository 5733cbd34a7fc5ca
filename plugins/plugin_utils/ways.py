"""How the site wants its images made, evaluated for one list of actions after the other."""

from collections.abc import Mapping
from typing import Any, Dict, FrozenSet, Iterable, Iterator

from jinja2 import Environment, nodes

__metaclass__ = type

# What a variable may be that says the same whenever it is asked, if there is no template in it.
PLAIN = (bool, int, float, str, list, dict)


class Ways(Mapping):
    """The values of a variable that is a mapping, as they are now.

    What is asked for is evaluated when it is asked for, once for each list of actions. What can say
    nothing else for the next one, since no template is in any variable that it names, is evaluated
    once.
    """

    def __init__(self, templar: Any, raw: Dict[str, Any]) -> None:
        """Take a variable.

        Args:
            templar: evaluates; it gets the variables of each list of actions.
            raw: the variable, before it is evaluated.
        """
        self._templar = templar
        self._raw = raw
        self._constant = {}  # type: Dict[str, Any]
        self._now = {}  # type: Dict[str, Any]
        self._names = {}  # type: Dict[str, FrozenSet[str]]
        self._given = frozenset()  # type: FrozenSet[str]

    def renew(self, variables: Dict[str, Any], given: Iterable[str]) -> None:
        """Begin with another list of actions.

        Args:
            variables: of the site, and those that came with these actions.
            given: names of the latter; the next actions may bring others.
        """
        self._templar.available_variables = variables
        self._given = frozenset([*given, "vars"])
        self._now = dict(self._constant)

    def __getitem__(self, key: str) -> Any:
        """Return a value, or raise KeyError."""
        if key not in self._now:
            value = self._now[key] = self._templar.template(self._raw[key])
            if self._is_constant(key):
                self._constant[key] = value
        return self._now[key]

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return iter(self._raw)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._raw)

    def _is_constant(self, key: str) -> bool:
        variables = self._templar.available_variables
        return all(
            name not in self._given
            and isinstance(variables.get(name), PLAIN)
            and not self._templar.is_template(variables[name])
            for name in self._named(key)
        )

    def _named(self, key: str) -> FrozenSet[str]:
        """Return the variables that the template of a key names."""
        if key not in self._names:
            found = Environment().parse(str(self._raw[key])).find_all(nodes.Name)  # noqa: S701
            self._names[key] = frozenset(node.name for node in found)
        return self._names[key]
