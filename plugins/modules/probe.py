#!/usr/bin/python
"""Look at what a host has to offer to the transfer manager."""

DOCUMENTATION = r"""
module: probe
short_description: Tell whether the transfer manager can work on a host
version_added: 0.1.0
description:
  - Looks for programs and at directories, and changes nothing.
  - The command C(tm-ansible check) makes its findings from it.
options:
  programs:
    description: Names of programs to look for, in the user's path and where the system's are.
    type: list
    elements: str
    default: []
  directories:
    description: Absolute paths of directories to look at.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There are no differences to show.
    support: none
author:
  - the tm_ansible authors (@one)
"""

EXAMPLES = r"""
- name: Look at the host
  one.tm.probe:
    programs:
      - mkswap
    directories:
      - /srv/cloud/one/var
"""

RETURN = r"""
python:
  description: Version of the Python that runs modules there.
  returned: always
  type: str
user:
  description: Who modules run as.
  returned: always
  type: str
programs:
  description: The path of each program, or null.
  returned: always
  type: dict
directories:
  description: >-
    Of each directory its C(path), whether it C(exists), the existing directory C(within) which it
    lies, whether we may write there (C(writable)), and the free space in MiB (C(free_mib)).
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.one.tm.plugins.module_utils import probing  # noqa: E402
from ansible_collections.one.tm.plugins.module_utils.module import run_module  # noqa: E402


def main():
    """Run the module."""
    run_module(
        {
            "programs": {"type": "list", "elements": "str", "default": []},
            "directories": {"type": "list", "elements": "str", "default": []},
        },
        probing.run,
    )


if __name__ == "__main__":
    main()
