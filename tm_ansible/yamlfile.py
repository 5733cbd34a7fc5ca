"""YAML files that people write: read with errors that name the line."""

from pathlib import Path
from typing import Any

from tm_ansible.errors import SettingsError


def read_yaml(path: Path) -> object:
    """Read a YAML file.

    Args:
        path: of the file; a missing one is taken for an empty one.

    Returns:
        What it holds; None for an empty one.

    Raises:
        SettingsError: it cannot be read, is no YAML, or sets a key twice.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise SettingsError(f"{path}: leads to no file: mend or remove the link") from None
        return None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    return _parse(data, path) if data.strip() else None


def _parse(data: bytes, path: Path) -> object:
    import yaml  # noqa: PLC0415 (a driver without a settings file starts faster)

    try:
        loader = yaml.SafeLoader(data)
        node = loader.get_single_node()
        _refuse_repeated(node, path)
        return None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise SettingsError(f"{path}: {where}no valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = " ".join(str(error).split())
        raise SettingsError(f"{path}: no valid YAML: {cause}") from None


def _refuse_repeated(node: Any, path: Path) -> None:
    """YAML's libraries keep the last of several equal keys and say nothing."""
    seen: set[str] = set()
    for key, value in node.value if node is not None and node.id == "mapping" else ():
        if str(key.value) in seen:
            line = key.start_mark.line + 1
            raise SettingsError(f"{path}: line {line}: {key.value} is set twice: keep one")
        seen.add(str(key.value))
        _refuse_repeated(value, path)
