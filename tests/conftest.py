"""What all tests share."""

import os
import sys
from pathlib import Path

# Programs of this environment, Ansible's above all, whether or not it is activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
