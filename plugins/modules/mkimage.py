#!/usr/bin/python
"""Documentation of the action one.tm.mkimage."""

DOCUMENTATION = r"""
module: mkimage
short_description: Make a disk image, empty or populated from a directory
version_added: 0.1.0
description:
  - With O(size_mib), makes an empty image of that size. An image of that kind and size stays
    as it is.
  - With O(source), makes a file system with the files of a directory, without mounting and
    without root. Its size is what the files need, O(slack_percent) upon that, and what the
    file system needs for itself.
  - The file system's UUID is computed from the names, modes, owners, sizes and times of the
    files and from the destination. So an image made of that directory as it is now stays as
    it is, whatever a VM has written into it.
options:
  destination:
    description: Absolute path of the image.
    type: str
    required: true
  filesystem:
    description:
      - One of V(ext2), V(ext3), V(ext4), V(xfs), V(vfat), V(swap), V(raw), V(qcow2); of a
        directory only ext.
    type: str
    default: ext4
  size_mib:
    description: Size of an empty image in MiB.
    type: int
  source:
    description: Absolute path of a directory of files.
    type: str
  source_name:
    description: What to call the directory in messages, when it was brought here from elsewhere.
    type: str
  slack_percent:
    description: Room left in the file system, in percent of what the files need.
    type: int
    default: 20
  uuid:
    description:
      - UUID of the file system instead of the one computed; for files that were brought here
        from elsewhere.
    type: str
extends_documentation_fragment:
  - one.tm.image
  - one.tm.image.sources
  - one.tm.image.allowed
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Make an empty data disk
  one.tm.mkimage:
    destination: /srv/cloud/one/var/7/images/disk.3
    allowed_dirs: [/srv/cloud/one/var]
    size_mib: 1024
    filesystem: xfs

- name: Make a disk of a directory of files
  one.tm.mkimage:
    destination: /srv/cloud/one/var/7/images/disk.4
    allowed_dirs: [/srv/cloud/one/var]
    source: /srv/cloud/context/7
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["made ext4 image disk.3, 1.0 GiB"]
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""
