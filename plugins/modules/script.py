#!/usr/bin/python
"""Documentation of the action one.tm.script, which runs on the controller."""

DOCUMENTATION = r"""
module: script
short_description: Run an action script of the transfer manager on the controller
version_added: 0.1.0
description:
  - Runs a program by the rules that OpenNebula's Storage Guide has for action scripts.
  - Each line of its standard output goes to the VM's log as it comes.
  - Exit code 0 means success. Otherwise the message on standard error between
    C(ERROR MESSAGE --8<------) and C(ERROR MESSAGE ------>8--) is the reason, or else
    the last line there.
  - Every process that it has started ends with it.
options:
  path:
    description: Absolute path of the program. A file without C(#!) is run by sh.
    type: path
    required: true
  arguments:
    description: Its arguments, passed on as they are.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds after which it is killed; 0 for no limit.
    type: float
    default: 0
attributes:
  check_mode:
    description: Tells what it would run.
    support: full
  diff_mode:
    description: There are no differences to show.
    support: none
author:
  - the tm_ansible authors (@one)
"""

EXAMPLES = r"""
- name: Run the site's own clone script
  one.tm.script:
    path: /srv/cloud/one/etc/tm_site/clone.sh
    arguments:
      - fe:/srv/images/base.img
      - node1:/srv/cloud/one/var/7/images/disk.0
    timeout: 3600
"""

RETURN = r"""
rc:
  description: The exit code; negative for the signal that ended it, null after a time-out.
  returned: when it was run
  type: int
tm_log:
  description: How it ended, for the VM's log.
  returned: on success
  type: list
  elements: str
tm_detail:
  description: The last lines of its standard error outside of the message.
  returned: when it was run
  type: list
  elements: str
"""
