#!/usr/bin/python
"""Documentation of the action one.tm.move."""

DOCUMENTATION = r"""
module: move
short_description: Move a file or a tree on one host
version_added: 0.1.0
description:
  - Renames; between file systems it copies, compares every byte, and then removes the source.
  - What is there already, with its source gone, was moved before and is no failure.
  - Both paths have to be where O(allowed_dirs) and O(more_dirs) say; the destination may be in
    O(source_dirs), too.
options:
  source:
    description: Absolute path of a file, link or directory.
    type: str
    required: true
  destination:
    description:
      - Absolute path. A file there is replaced, and a directory of the source's name too.
    type: str
    required: true
  into:
    description: Whether a directory of another name takes the source into it.
    type: bool
    default: true
  format:
    description:
      - What a single file is; the images of a directory are not looked into. V(raw) is bytes that
        nobody looks into, V(qcow2) nothing else, V(probe) whatever its signature says. As in
        one.tm.clone, an image that names files which it must not is refused.
    type: str
    choices: [probe, raw, qcow2]
    default: raw
extends_documentation_fragment:
  - one.tm.image.allowed
  - one.tm.image.sources
  - one.tm.image.bandwidth
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Save a disk
  one.tm.move:
    source: /srv/cloud/one/var/7/images/disk.3
    destination: /srv/cloud/one/var/7/disk.3
    allowed_dirs:
      - /srv/cloud/one/var
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["moved /srv/cloud/one/var/7/images/disk.3 to /srv/cloud/one/var/7/disk.3"]
path:
  description: Where it is now.
  returned: success
  type: str
bytes:
  description: Bytes of data that were copied; none if it was a rename.
  returned: when something was moved
  type: int
copy_seconds:
  description: Seconds that the copy took.
  returned: when something was copied
  type: float
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""
