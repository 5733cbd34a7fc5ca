#!/usr/bin/python
"""Documentation of the action one.tm.download."""

DOCUMENTATION = r"""
module: download
short_description: Fetch an image with http, https or ftp
version_added: 0.1.0
description:
  - A download that is shorter than the server announced is a failure, and leaves nothing behind.
  - A destination with the size and time that the server announces stays as it is; where a
    server announces neither, one with the same contents does.
  - An image that builds on another file is refused.
  - User, password and query of the URL appear in no message. Proxies are taken from the
    host's environment.
options:
  url:
    description: What to fetch.
    type: str
    required: true
  destination:
    description: Absolute path of the image.
    type: str
    required: true
  timeout:
    description: Longest silence of the server, in seconds.
    type: int
    default: 60
extends_documentation_fragment:
  - one.tm.image
  - one.tm.image.format
  - one.tm.image.bandwidth
  - one.tm.image.allowed
  - one.tm.image.urls
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Fetch an image
  one.tm.download:
    url: https://images.example.org/base.img
    destination: /srv/cloud/one/var/7/images/disk.0
    allowed_dirs: [/srv/cloud/one/var]
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["downloaded https://images.example.org/base.img to disk.0, 1.0 GiB"]
bytes:
  description: Size of what was written, in bytes.
  returned: when it was fetched
  type: int
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""
