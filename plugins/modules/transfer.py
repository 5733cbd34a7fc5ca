#!/usr/bin/python
"""Documentation of the action one.tm.transfer, which runs on the controller."""

DOCUMENTATION = r"""
module: transfer
short_description: Move an image between two hosts
version_added: 0.1.0
description:
  - Copies a file, a disk or a directory of images from one host to the play's host, whole or not
    at all. Between two hosts of which neither is the controller, the source's host sends straight
    to the destination's by ssh where it can; else the data go from one connection to the other
    through a pipe on the controller. Nothing is stored there.
  - Two names of one host are recognised by what the host says of itself. Then a file is cloned as
    by one.tm.clone, and a move is one.tm.move on that host.
  - Holes and blocks of zeros are not sent and become holes. Every file is checked by a digest,
    flushed, and renamed to its name only then.
  - Works over the connections C(ssh) and C(local), with any privilege escalation that needs no
    password. Both hosts need Python 3.6; nothing is installed on them.
  - The option C(-C) of Ansible's default C(ssh_args) is left out for the data, since it compresses
    whether it pays or not; see O(compression).
  - A file whose copying was cut off goes on where it was proven, if the source is still the same.
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
    description:
      - Directories in which VMs have theirs. On the real path, the destination has to lie below one
        of them, and what is moved too; with O(vm_id), in C(<directory>/<vm_id>).
    type: list
    elements: str
    required: true
  more_dirs:
    description: Directories below which both may lie as well.
    type: list
    elements: str
    default: []
  own_paths:
    description: What is neither read nor written, such as configuration and keys.
    type: list
    elements: str
    default: []
  vm_id:
    description: Number of the VM, if what belongs to others is to be refused; negative for none.
    type: int
    default: -1
  source_dirs:
    description:
      - The image repositories, below which a source that is not moved has to lie. What is moved may
        go there. Without them see O(one.tm.clone#module:source_dirs).
      - Files that an image builds on have to lie below them; without them in the image's own
        directory.
    type: list
    elements: str
    default: []
  source_policy:
    description:
      - What the source's host allows, where that differs; what is not in it is as for the play's
        host.
    type: dict
    suboptions:
      source_dirs:
        description: As O(source_dirs), for the source.
        type: list
        elements: str
      allowed_dirs:
        description: As O(allowed_dirs), for the source.
        type: list
        elements: str
      more_dirs:
        description: As O(more_dirs), for the source.
        type: list
        elements: str
      own_paths:
        description: As O(own_paths), for the source.
        type: list
        elements: str
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
  route:
    description:
      - The way between two hosts that are both reached by ssh. V(direct) has the source's host
        start ssh to the destination's, with its own key or a forwarded agent, to the address, port
        and user that the destination's variables name (C(tm_direct_address) for another address),
        and never asks about a host key. What answers there has to be the very host that the
        controller knows.
      - V(front_end) sends everything through the controller. V(auto) does so where the straight
        way cannot be gone, and says why.
    type: str
    choices: [auto, direct, front_end]
    default: auto
  bandwidth_mib:
    description: MiB/s that all copies of the play's host by this user keep together; V(0) for any.
    type: int
    default: 0
  source_bandwidth_mib:
    description:
      - The same of the source's host. Without it its variable C(tm_bandwidth_mib) counts, or
        C(tm_front_end_bandwidth_mib) if it is the front-end.
    type: int
  front_end_bandwidth_mib:
    description: The same of the controller, for what goes through it between two other hosts.
    type: int
    default: 0
  compression:
    description:
      - Whether blocks are compressed on their way. V(auto) measures, and compresses while that
        makes them arrive sooner.
    type: str
    choices: [auto, always, never]
    default: auto
  format:
    description:
      - What a single file is; the images of a directory are not looked into. V(raw) is bytes that
        nobody looks into, V(qcow2) nothing else, V(probe) whatever its signature says. As in
        one.tm.clone, an image that names files which it must not is refused.
    type: str
    choices: [probe, raw, qcow2]
    default: raw
  cache_dir:
    description:
      - Absolute path of the play's host's cache of images; none for no cache. It is made with mode
        0700, and has to belong to the user who copies.
      - A file that was copied to this host before, and is still the same on its own host, is taken
        from the cache. Several that ask for it at once wait for the one that brings it.
      - The cache never fails a copy. What is wrong with it is told in the log.
    type: str
    default: ""
  cache_size_gib:
    description: Most that the cache may hold, in GiB; what was not used for longest goes.
    type: int
    default: 100
  cache_age_days:
    description: Days after which an image that nobody asked for goes from the cache.
    type: int
    default: 30
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
    allowed_dirs: [/srv/cloud/one/var]

- name: Take a VM's images from another host
  one.tm.transfer:
    source_host: node1
    source: /srv/cloud/one/var/7/images
    destination: /srv/cloud/one/var/7/images
    allowed_dirs: [/srv/cloud/one/var]
    into: true
    move: true
"""

RETURN = r"""
destination:
  description: Real path of the image.
  returned: success
  type: str
type:
  description: V(file) or V(directory).
  returned: success, but within one host
  type: str
files:
  description: How many files it has.
  returned: success, but within one host
  type: int
size:
  description: Bytes of the image, holes included.
  returned: success, but within one host
  type: int
bytes:
  description: Bytes of data that were sent.
  returned: success
  type: int
resumed:
  description: Bytes of the image that an earlier run had brought.
  returned: success
  type: int
cached:
  description: V(reflink) or V(copy), if the image came from the cache; else empty.
  returned: success
  type: str
local:
  description: Whether both are one host; then a move is done, and nothing is left to be removed.
  returned: success
  type: bool
copy_seconds:
  description: Seconds that the copy took.
  returned: when something was copied
  type: float
complete:
  description: Whether the image was there already.
  returned: success
  type: bool
same:
  description: >-
    Whether source and destination are one and the same, or one host has moved it before; then
    nothing may be removed.
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
