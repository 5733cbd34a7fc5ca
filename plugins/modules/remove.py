#!/usr/bin/python
"""Documentation of the action one.tm.remove."""

DOCUMENTATION = r"""
module: remove
short_description: Remove a file, a link or a tree
version_added: 0.1.0
description:
  - Removes a file, a symbolic link (not what it points to), or a directory with all that is
    in it. What is not there is no failure.
  - Refuses an empty or relative path, C(/), a path with C(..), what does not really lie below
    O(allowed_dirs), and anything that something is mounted on or below.
  - Follows no link on the way, even one that takes a directory's place meanwhile.
options:
  path:
    description: Absolute path.
    type: str
    required: true
  proven:
    description:
      - The state that RV(one.tm.transfer#module:state) tells. What is in another state now has no
        proven copy, and is not removed.
    type: str
extends_documentation_fragment:
  - one.tm.image.allowed
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Remove a VM's images
  one.tm.remove:
    path: /srv/cloud/one/var/7/images
    allowed_dirs:
      - /srv/cloud/one/var
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["deleted /srv/cloud/one/var/7/images (4 files, 1.2 GiB)"]
files:
  description: Number of files removed.
  returned: success
  type: int
bytes:
  description: Their disk usage in bytes.
  returned: success
  type: int
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""
