"""``python -m tm_ansible.cli`` is ``tm-ansible``."""

import sys

from tm_ansible.cli import main

sys.exit(main())
