"""Where the Ansible collection ``one.tm`` is."""

from dataclasses import dataclass
from pathlib import Path

from tm_ansible.errors import SettingsError

_COLLECTION = Path("ansible_collections", "one", "tm")


@dataclass(frozen=True, slots=True)
class ContentRoot:
    """A usable copy of the collection.

    Attributes:
        root: the collection itself; its playbooks are in ``playbooks``.
        collections: the directory that holds ``ansible_collections/one/tm``.
    """

    root: Path
    collections: Path


def find_content(setting: Path | None) -> ContentRoot:
    """Find the collection.

    Args:
        setting: the directory that a site sets, which must hold ``ansible_collections/one/tm``;
            None to look in the checkout, then beside the installed package.

    Returns:
        The first place where it is.

    Raises:
        SettingsError: it is in none.
    """
    beside = Path(__file__).resolve().parent.parent
    places = (beside / ".collections", beside) if setting is None else (setting,)
    for place in places:
        if (place / _COLLECTION / "playbooks").is_dir():
            return ContentRoot((place / _COLLECTION).resolve(), place)
    tried = " and ".join(str(place / _COLLECTION) for place in places)
    remedy = "install tm_ansible again" if setting is None else "correct the setting 'content'"
    raise SettingsError(f"the collection one.tm has no playbooks in {tried}: {remedy}")
