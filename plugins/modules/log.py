#!/usr/bin/python
"""Documentation of the action one.tm.log, which runs on the controller."""

DOCUMENTATION = r"""
module: log
short_description: Write lines to the VM's log
version_added: 0.1.0
description:
  - Shows each line at once; the transfer manager writes it to the log of the VM.
  - The equivalent of C(log) of the Storage Guide's action scripts.
options:
  message:
    description: A line, or a list of lines.
    type: raw
    required: true
  severity:
    description: V(I) for information, V(W) for a warning.
    type: str
    choices: [I, W]
    default: I
attributes:
  check_mode:
    description: Changes nothing and logs in check mode too.
    support: full
  diff_mode:
    description: There are no differences to show.
    support: none
author:
  - the tm_ansible authors (@one)
"""

EXAMPLES = r"""
- name: Tell where the image comes from
  one.tm.log:
    message: "Link {{ tm_source | one.tm.arg_path }}"

- name: Warn
  one.tm.log:
    message: the mirror is slow today
    severity: W
"""

RETURN = r"""
message:
  description: The lines that were shown.
  returned: always
  type: list
  elements: str
"""
