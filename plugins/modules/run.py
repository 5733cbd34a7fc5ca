#!/usr/bin/python
"""Documentation of the action one.tm.run."""

DOCUMENTATION = r"""
module: run
short_description: Run a command, log it, and fail with its own error
version_added: 0.1.0
description:
  - The equivalent of C(exec_and_log), and with O(timeout) of C(timeout_exec_and_log), of the
    Storage Guide's action scripts.
  - No shell is involved, each word of O(argv) is one argument of the program.
  - Every process that the command has started ends with it.
options:
  argv:
    description: The program and its arguments.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds after which the command and all it has started are killed; 0 for no limit.
    type: float
    default: 0
  chdir:
    description: Directory to run it in.
    type: str
  environment:
    description: Variables to set for it.
    type: dict
    default: {}
  creates:
    description: When this file exists, nothing is run.
    type: str
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
- name: Make the directory writable for the group
  one.tm.run:
    argv: [chmod, g+w, --, "{{ tm_destination | one.tm.arg_path | dirname }}"]

- name: Fetch the image within a quarter of an hour
  one.tm.run:
    argv: [wget, -O, "{{ tm_destination | one.tm.arg_path }}", --, "{{ tm_source }}"]
    timeout: 900
"""

RETURN = r"""
rc:
  description: The exit code.
  returned: when it was run
  type: int
stdout_lines:
  description: The first thousand lines of its standard output.
  returned: when it was run
  type: list
  elements: str
tm_log:
  description: What was done, for the VM's log.
  returned: on success
  type: list
  elements: str
tm_detail:
  description: How it ended, and the last lines of its standard error.
  returned: on failure
  type: list
  elements: str
"""
