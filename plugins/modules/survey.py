#!/usr/bin/python
"""Documentation of the action one.tm.survey."""

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
  - one.tm.image.allowed
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Look at a directory of files
  one.tm.survey:
    path: /srv/cloud/context/7
    destination: /srv/cloud/one/var/7/images/disk.4
    allowed_dirs: [/srv/cloud/one/var]
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
