#!/usr/bin/python
"""Documentation of the action one.tm.actions, which runs on the controller."""

DOCUMENTATION = r"""
module: actions
short_description: Carry out actions of the transfer manager on one host
version_added: 0.1.0
description:
  - Carries out one action after the other, and stops at the first that fails.
  - Decides for each, by where its source is and what hosts share, which action of this collection
    it takes, and runs that on the host of the task.
  - Several actions as one task take a fraction of the time of as many tasks.
options:
  actions:
    description: The actions, in order.
    type: list
    elements: dict
    required: true
    suboptions:
      action:
        description: What is to be done; V(mv) on one host only.
        type: str
        choices: [clone, delete, ln, mkimage, mkswap, mv]
        required: true
      source:
        description: C(<host>:<path>) for V(clone), V(ln), V(mv) and V(delete).
        type: str
      destination:
        description: C(<host>:<path>) for all but V(delete).
        type: str
      size_mib:
        description: Size of a V(mkswap) or V(mkimage) in MiB.
        type: int
      filesystem:
        description: File system of a V(mkimage).
        type: str
  ways:
    description:
      - How the site wants it; the role C(one.tm.tm) makes this of its variables.
    type: dict
    required: true
  ways_variable:
    description:
      - Name of the variable that O(ways) is the value of. With it the transfer manager may have the
        task go on with the actions of its next transfer, for which the variable is evaluated anew.
    type: str
attributes:
  check_mode:
    description: Tells in check mode what would be done.
    support: full
  diff_mode:
    description: There are no differences to show.
    support: none
author:
  - the tm_ansible authors (@one)
"""

EXAMPLES = r"""
- name: Make the disks of a VM
  one.tm.actions:
    actions:
      - action: clone
        source: fe:/srv/images/base.img
        destination: node1:/srv/one/var/7/images/disk.0
      - action: mkswap
        size_mib: 16
        destination: node1:/srv/one/var/7/images/disk.1
    ways: "{{ __tm_ways }}"
"""

RETURN = r""" # """
