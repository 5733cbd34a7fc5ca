"""Documentation that the modules share."""


class ModuleDocFragment:
    """The fragment one.tm.image: how images are written."""

    DOCUMENTATION = r"""
options:
  mode:
    description:
      - Mode of a new image, and of its directory if that has to be made.
      - Octal (V(0660)), or symbolic (V(a+w)); a symbolic mode changes what the umask leaves.
      - A directory with an octal mode may be entered by all who may read it.
    type: raw
    default: a+w
  owner:
    description: Owner of a new image and directory, a user name or number.
    type: str
  group:
    description: Group of a new image and directory, a group name or number.
    type: str
"""

    SOURCES = r"""
options:
  source_dirs:
    description:
      - The image repositories, below which the source has to lie, all links followed.
      - Without them it may lie anywhere but in C(/etc), C(/root), C(/proc), C(/sys), C(/dev) (block
        devices are allowed), in a directory C(.ssh), C(.gnupg) or C(.one), under a name of keys
        such as C(*.pem), in O(own_paths), or among the images of another VM.
    type: list
    elements: str
    default: []
"""

    ALLOWED = r"""
options:
  allowed_dirs:
    description:
      - Directories in which VMs have theirs. On the real path, what is written, moved or removed
        has to lie below one of them; with O(vm_id), in C(<directory>/<vm_id>).
    type: list
    elements: str
    required: true
  more_dirs:
    description: Directories below which it may lie as well.
    type: list
    elements: str
    default: []
  own_paths:
    description: What is neither read nor written, such as configuration and keys.
    type: list
    elements: str
    default: []
  vm_id:
    description:
      - Number of the VM. What lies in the directory of another one is refused, whatever else is
        allowed. A negative number is no VM's.
    type: int
    default: -1
"""

    FORMAT = r"""
options:
  format:
    description:
      - What the image is. V(raw) is bytes that nobody looks into, V(qcow2) nothing else, and
        V(probe) whatever its signature says.
      - An image with the signature of a format that can name other files is read with C(qemu-img).
        It is refused if its data lie in another file, or if a file that it builds on is named by
        other than a full path or lies where it must not.
    type: str
    choices: [probe, raw, qcow2]
    default: probe
"""

    URLS = r"""
options:
  schemes:
    description: Schemes that may be fetched, by a redirect too.
    type: list
    elements: str
    default: [http, https, ftp]
  hosts:
    description:
      - Servers that may be asked, by name, C(*.domain), address or network; V(*) for any.
      - Loopback, link-local and multicast addresses have to be named, and so has a host in a
        private network that a server of another name redirects to. Addresses are judged when they
        are connected to. What a proxy connects to is judged by its name alone.
    type: list
    elements: str
    default: []
  size_gib:
    description: Most that the image may have, in GiB; V(0) for no limit.
    type: float
    default: 0
  seconds:
    description: Most that the download may take, in seconds; V(0) for no limit.
    type: float
    default: 0
"""

    BANDWIDTH = r"""
options:
  bandwidth_mib:
    description:
      - MiB/s that all copies of this host by this user keep together; V(0) for no limit. Blocks
        that the file system shares count for nothing.
    type: int
    default: 0
"""

    COMMON = r"""
attributes:
  check_mode:
    description: Tells what would be done and changes nothing.
    support: full
  diff_mode:
    description: There are no differences to show.
    support: none
author:
  - the tm_ansible authors (@one)
"""
