"""The storage models that come with this package."""

from enum import Enum


class Model(str, Enum):
    """A storage model; its name is that of the directory of its playbooks."""

    NFS = "nfs"
    SSH = "ssh"
    SHARED = "shared"
    DUMMY = "dummy"

    @property
    def directory(self) -> str:
        """Name of its directory in etc, of its map and of its driver in oned.conf."""
        return f"tm_ansible_{self.value}"
