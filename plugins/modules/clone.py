#!/usr/bin/python
"""Documentation of the action one.tm.clone."""

DOCUMENTATION = r"""
module: clone
short_description: Clone an image on one host
version_added: 0.1.0
description:
  - Copies an image from path to path. Blocks are shared where the file system can (reflink);
    holes, and blocks of zeros, become holes.
  - The copy is made under a temporary name beside the destination, flushed, and renamed. It
    gets its source's modification time; a destination of that size and time is complete and
    stays as it is.
  - The directory is made if it is missing.
options:
  source:
    description: Absolute path of a file or block device.
    type: str
    required: true
  destination:
    description: Absolute path of the copy.
    type: str
    required: true
extends_documentation_fragment:
  - one.tm.image
  - one.tm.image.sources
  - one.tm.image.format
  - one.tm.image.bandwidth
  - one.tm.image.allowed
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Clone an image
  one.tm.clone:
    source: /srv/images/base.img
    destination: /srv/cloud/one/var/7/images/disk.0
    allowed_dirs: [/srv/cloud/one/var]
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["copied base.img to disk.0, 4.0 GiB: 256.0 MiB moved in 0.4 s, 640.0 MiB/s"]
bytes:
  description: Bytes of data that were moved; none if the file system shares them.
  returned: success
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
