"""Which releases of Ansible the driver knows, and whether what is installed is one of them."""

import re
from importlib.util import find_spec
from pathlib import Path

from tm_ansible.errors import SettingsError

# Minor releases 2.x of ansible-core that the end-to-end tests were run with.
OLDEST, NEWEST = 16, 19
_REMEDY = f"pip install 'ansible-core>=2.{OLDEST},<2.{NEWEST + 1}'"


def ansible_core_version() -> str:
    """Tell which ansible-core is installed beside this program, without importing it.

    Returns:
        Its version, as ``ansible/release.py`` has it; ``""`` if there is none.
    """
    spec = find_spec("ansible")
    if spec is None or spec.origin is None:
        return ""
    try:
        text = (Path(spec.origin).parent / "release.py").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    match = re.search(r"^__version__ = ['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return match[1] if match else ""


def check_ansible_core(version: str) -> None:
    """Refuse a release whose ways nobody has looked at.

    Args:
        version: of ansible-core.

    Raises:
        SettingsError: it is missing, too old or too new; the message says what to install.
    """
    if not version:
        raise SettingsError(f"ansible-core is not installed beside tm_ansible: {_REMEDY}")
    match = re.match(r"(\d+)\.(\d+)", version)
    release = (int(match[1]), int(match[2])) if match else (0, 0)
    if release < (2, OLDEST):
        raise SettingsError(f"ansible-core {version} is too old: {_REMEDY}")
    if release > (2, NEWEST):
        raise SettingsError(f"ansible-core {version} is newer than what was tested: {_REMEDY}")
