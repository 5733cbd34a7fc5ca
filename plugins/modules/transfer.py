#!/usr/bin/python
"""Documentation of the action one.tm.transfer, which runs on the controller."""

DOCUMENTATION = r"""
module: transfer
short_description: Move an image between two hosts through the controller
version_added: 0.1.0
description:
  - Copies a file, a disk or a directory of images from one host to the play's host, whole or not
    at all. The data go from the source's connection to the destination's through a pipe on the
    controller; nothing is stored there.
  - Holes and blocks of zeros are not sent and become holes. Every file is checked by a digest,
    flushed, and renamed to its name only then.
  - Works over the connections C(ssh) and C(local), with any privilege escalation that needs no
    password. Both hosts need Python 3.6; nothing is installed on them.
  - The option C(-C) of Ansible's default C(ssh_args) is left out for the data, since compression
    is slower than most networks. Put it into C(ansible_ssh_common_args) of a host to have it.
options:
  source_host:
    description: Inventory name of the host that has the image; V(localhost) for the front-end.
    type: str
    required: true
  source:
    description: Absolute path on that host. A symbolic link there is followed.
    type: str
    required: true
  destination:
    description: Absolute path on the play's host. Its directory is made.
    type: str
    required: true
  source_name:
    description: What to call the source's host in messages.
    type: str
  destination_name:
    description: What to call the play's host in messages.
    type: str
  into:
    description:
      - Whether an existing directory takes the image in, as mv(1) does. One that has the source's
        own name is replaced instead.
    type: bool
    default: false
  move:
    description:
      - Whether a later task removes the source. Both paths then have to lie below
        O(allowed_dirs), and a source that is gone is no failure if the destination is there.
    type: bool
    default: false
  directories:
    description: Whether the source may be a directory.
    type: bool
    default: true
  allowed_dirs:
    description: Directories below which a move may act.
    type: list
    elements: str
    default: []
  source_dirs:
    description: Directories below which a source that is not moved has to lie; none for anywhere.
    type: list
    elements: str
    default: []
  mode:
    description: Mode of the image, symbolic or octal.
    type: raw
    default: a+w
  owner:
    description: Name or number of the image's owner.
    type: str
  group:
    description: Name or number of the image's group.
    type: str
  silence:
    description: Seconds without any sign of life after which the transfer is given up.
    type: float
    default: 300
attributes:
  check_mode:
    description: Finds out what would be copied, and copies nothing.
    support: full
  diff_mode:
    description: There are no differences to show.
    support: none
author:
  - the tm_ansible authors (@one)
"""

EXAMPLES = r"""
- name: Copy an image from the front-end
  one.tm.transfer:
    source_host: localhost
    source: /srv/cloud/images/base.img
    destination: /srv/cloud/one/var/7/images/disk.0

- name: Take a VM's images from another host
  one.tm.transfer:
    source_host: node1
    source: /srv/cloud/one/var/7/images
    destination: /srv/cloud/one/var/7/images
    into: true
    move: true
    allowed_dirs: [/srv/cloud/one/var]
"""

RETURN = r"""
destination:
  description: Real path of the image.
  returned: success
  type: str
type:
  description: V(file) or V(directory).
  returned: success
  type: str
files:
  description: How many files it has.
  returned: success
  type: int
size:
  description: Bytes of the image, holes included.
  returned: success
  type: int
bytes:
  description: Bytes of data that were sent.
  returned: success
  type: int
complete:
  description: Whether the image was there already.
  returned: success
  type: bool
same:
  description: Whether source and destination are one and the same; then nothing may be removed.
  returned: success
  type: bool
gone:
  description: Whether the source was moved earlier.
  returned: success
  type: bool
state:
  description: >-
    Digest of what the source is: names, sizes, times and places on the disk. The module
    one.tm.remove takes it, and leaves alone what is no longer so.
  returned: success
  type: str
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
"""
