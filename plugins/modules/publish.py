#!/usr/bin/python
"""Documentation of the action one.tm.publish."""

DOCUMENTATION = r"""
module: publish
short_description: Begin and end a download that another task does
version_added: 0.1.0
description:
  - V(prepared) makes the destination's directory and returns the temporary path to write to.
  - V(published) flushes what was written there, gives it mode and owner, and renames it. An image
    that builds on another file is refused.
  - V(discarded) removes what is left of it.
options:
  destination:
    description: Absolute path of the image.
    type: str
    required: true
  state:
    description: Which step.
    type: str
    choices: [prepared, published, discarded]
    required: true
extends_documentation_fragment:
  - one.tm.image
  - one.tm.image.format
  - one.tm.image.allowed
  - one.tm.image.common
"""

EXAMPLES = r"""
- name: Publish what another task has fetched
  one.tm.publish:
    destination: /srv/cloud/one/var/7/images/disk.0
    allowed_dirs: [/srv/cloud/one/var]
    state: published
"""

RETURN = r"""
tm_log:
  description: What was done, for the VM's log.
  returned: success
  type: list
  elements: str
  sample: ["downloaded disk.0, 1.0 GiB"]
path:
  description: The temporary path.
  returned: success
  type: str
tm_detail:
  description: Further lines on a failure.
  returned: failure
  type: list
  elements: str
"""
