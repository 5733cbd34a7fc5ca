#!/usr/bin/python
"""Tell the identity of an image or of a directory's image."""

DOCUMENTATION = r"""
module: survey
short_description: Tell the identity that an image has or will have
version_added: 0.1.0
description:
  - Of a directory, computes the UUID that M(one.tm.mkimage) gives the file system with its files.
  - Of an image, reads the UUID of its ext file system; empty if there is none.
options:
  path:
    description: Absolute path of a directory, or of an image.
    type: str
    required: true
  destination:
    description:
      - Absolute path of the image that will be made; set for a directory, unset for an image.
    type: str
  filesystem:
    description: What the image will have.
    type: str
    default: ext4
extends_documentation_fragment:
  - one.tm.image.sources
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Look at a directory of files
  one.tm.survey:
    path: /srv/cloud/context/7
    destination: /srv/cloud/one/var/7/images/disk.4
"""

RETURN = r"""
uuid:
  description: The identity.
  returned: success
  type: str
entries:
  description: Number of files, links and directories.
  returned: for a directory
  type: int
bytes:
  description: What their contents need, in bytes.
  returned: for a directory
  type: int
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""

from ansible_collections.one.tm.plugins.module_utils import survey  # noqa: E402
from ansible_collections.one.tm.plugins.module_utils.module import run_module  # noqa: E402


def main() -> None:
    """Run the module."""
    spec = {
        "path": {"type": "str", "required": True},
        "destination": {"type": "str"},
        "filesystem": {"type": "str", "default": "ext4"},
        "source_dirs": {"type": "list", "elements": "str", "default": []},
    }
    run_module(spec, survey.run)


if __name__ == "__main__":
    main()
