"""The house's floors: imports point downward only, and one module knows ansible-runner."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "tm_ansible"

# From the ground up. A module may import what stands on a lower floor, or beside it on its own.
FLOORS = [
    {"errors", "engine.job", "journal_file", "lines", "complaint", "shares", "versions"},
    {
        "protocol",
        "template",
        "endpoint",
        "locations",
        "rcfile",
        "yamlfile",
        "content",
        "stdio",
        "journal_file",
    },
    {"script", "settings", "writer"},
    {"log"},
    {"actionmap", "ownership"},
    {"configuration"},
    {"joining"},
    {"actions", "journal", "schedule", "arguments"},
    {
        "engine.bounds",
        "engine.cgroup",
        "engine.marked",
        "engine.child",
        "engine.warm.caches",
        "engine.warm.client",
        "engine.warm.keeping",
        "engine.warm.launch",
        "engine.warm.messages",
        "engine.warm.forked",
        "engine.warm.identity",
        "engine.warm.playbook",
        "engine.warm.server",
        "engine.warm.spare",
        "engine.warm.tasks",
        "engine.warm.warmup",
        "engine.events",
        "engine.causes",
        "engine.holdings",
        "engine.inputs",
        "engine.limits",
        "engine.options",
        "engine.playlist",
        "engine.report",
        "engine.runner",
        "engine.standing",
        "engine.underway",
        "engine.watch",
        "engine.workers",
        "engine.conversation",
        "engine.process",
        "engine.fake",
        "engine.worker",
    },
    {"transfer", "heir"},
    {"driver"},
    {"mad"},
]


def imported(path: Path) -> set[str]:
    """Give the modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> dict[str, Path]:
    """Give every module of the package by its name without ``tm_ansible``."""
    paths = (path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def test_imports_point_downward() -> None:
    """No module imports one that stands above it; the command line stands on the roof."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    for name, path in modules().items():
        if name.startswith("cli."):
            continue
        assert name in floor, f"{name} has no floor yet"
        for other in imported(path):
            below = other.removeprefix("tm_ansible.")
            if other.startswith("tm_ansible.") and below in modules():
                assert floor.get(below, 99) <= floor[name], f"{name} imports {below}"


def test_one_module_knows_ansible_runner() -> None:
    """What ansible-runner does and raises stays behind one door."""
    knowing = [
        name
        for name, path in modules().items()
        if any(module.split(".")[0] == "ansible_runner" for module in imported(path))
    ]
    assert knowing == ["engine.runner"]
