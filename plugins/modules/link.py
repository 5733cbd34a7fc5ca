#!/usr/bin/python
"""Documentation of the action one.tm.link."""

DOCUMENTATION = r"""
module: link
short_description: Link to an image on one host
version_added: 0.1.0
description:
  - Makes a symbolic link to an image that exists. Another link there is replaced, a file is not.
  - What the image builds on is checked, but a link shows what the image becomes later as well.
  - The directory is made if it is missing.
options:
  source:
    description: Absolute path of a file or block device.
    type: str
    required: true
  destination:
    description: Absolute path of the link.
    type: str
    required: true
extends_documentation_fragment:
  - one.tm.image
  - one.tm.image.sources
  - one.tm.image.format
  - one.tm.image.allowed
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Use an image itself
  one.tm.link:
    source: /srv/images/data.img
    destination: /srv/cloud/one/var/7/images/disk.1
    allowed_dirs: [/srv/cloud/one/var]
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["linked disk.1 to /srv/images/data.img"]
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""
