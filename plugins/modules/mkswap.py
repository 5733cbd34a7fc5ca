#!/usr/bin/python
"""Documentation of the action one.tm.mkswap."""

DOCUMENTATION = r"""
module: mkswap
short_description: Make a swap image
version_added: 0.1.0
description:
  - Makes a sparse file with a swap signature. A swap image of that size stays as it is.
  - Needs the program mkswap (Debian package util-linux).
options:
  destination:
    description: Absolute path of the image.
    type: str
    required: true
  size_mib:
    description: Its size in MiB.
    type: int
    required: true
extends_documentation_fragment:
  - one.tm.image
  - one.tm.image.allowed
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Make 512 MiB of swap
  one.tm.mkswap:
    destination: /srv/cloud/one/var/7/images/disk.2
    allowed_dirs: [/srv/cloud/one/var]
    size_mib: 512
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["made swap disk.2, 512.0 MiB"]
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""
