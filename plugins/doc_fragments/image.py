"""Documentation that the modules share."""


class ModuleDocFragment:
    """The fragment one.tm.image: how images are written."""

    DOCUMENTATION = r"""
options:
  mode:
    description:
      - Mode of a new image, and of its directory if that has to be made.
      - Octal (V(0660)), or symbolic (V(a+w)); a symbolic mode changes what the umask leaves.
      - A directory with an octal mode may be entered by all who may read it.
    type: raw
    default: a+w
  owner:
    description: Owner of a new image and directory, a user name or number.
    type: str
  group:
    description: Group of a new image and directory, a group name or number.
    type: str
"""

    SOURCES = r"""
options:
  source_dirs:
    description:
      - Directories below which the source has to lie, all links followed; none for anywhere.
    type: list
    elements: str
    default: []
"""

    ALLOWED = r"""
options:
  allowed_dirs:
    description: Directories below which something may be moved or removed, on the real path.
    type: list
    elements: str
    required: true
"""

    FORMAT = r"""
options:
  format:
    description:
      - What the image is. V(raw) is bytes that nobody looks into, V(qcow2) nothing else, and
        V(probe) whatever its signature says.
      - An image with the signature of a format that can name other files is read with C(qemu-img).
        It is refused if its data lie in another file, or if a file that it builds on is named by
        other than a full path or lies where it must not.
    type: str
    choices: [probe, raw, qcow2]
    default: probe
"""

    BANDWIDTH = r"""
options:
  bandwidth_mib:
    description:
      - MiB/s that all copies of this host by this user keep together; V(0) for no limit. Blocks
        that the file system shares count for nothing.
    type: int
    default: 0
"""

    COMMON = r"""
attributes:
  check_mode:
    description: Tells what would be done and changes nothing.
    support: full
  diff_mode:
    description: There are no differences to show.
    support: none
author:
  - the tm_ansible authors (@one)
"""
