"""What starts a program with open pipes on a host, over the connection that Ansible has."""

import copy
import hashlib
import os
import shlex
import subprocess
import sys
from typing import Any, Dict, List, Mapping

import ansible.constants as C  # noqa: N812 - Ansible's own name for it
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.text.converters import to_text
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.one.tm.plugins.module_utils import frames
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

FRONT_END = "localhost"
SSH = ("ssh", "ansible.builtin.ssh", "ansible.legacy.ssh")
SSH_OPTIONS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
# OpenSSH's default set (sshd_config(5)), the two that most processors have instructions for first.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
LOCAL = ("local", "ansible.builtin.local", "ansible.legacy.local")


class Far:
    """A host on which a program can be started.

    Attributes:
        name: of the host, for messages.
        argv: starts a shell command there, once the command is appended by ``command``.
        python: its interpreter.
    """

    def __init__(self, name: str, connection: Any, variables: Mapping[str, Any]) -> None:
        """Take a host.

        Args:
            name: of the host, for messages.
            connection: Ansible's connection plugin, with its options set.
            variables: the host's, templated.

        Raises:
            TmError: the connection or its privilege escalation is of a kind that cannot stream.
        """
        self.name = name
        self._connection = connection
        self._is_ssh = connection._load_name in SSH
        if not self._is_ssh and connection._load_name not in LOCAL:
            raise TmError(
                "images cannot be moved over the connection %r of %s; use ssh or local"
                % (connection._load_name, name)
            )
        self.python = _python(variables, self._is_ssh)
        self._refuse_password()
        if self._is_ssh:
            _prefer_speed(connection)

    def _refuse_password(self) -> None:
        become = self._connection.become
        if become is not None and _option(become, "become_pass"):
            raise TmError(
                "%s on %s needs a password, which cannot be given while images are moved; allow "
                "it without one for this user (sudo: NOPASSWD)" % (become.name, self.name)
            )

    def connect(self) -> None:
        """Make sure of the connection, so that what is started finds it.

        Raises:
            AnsibleConnectionFailure: with Ansible's own words.
        """
        if self._is_ssh and not self._is_connected():
            self._connection._connect()
            self._connection.exec_command("true", sudoable=False)

    def _is_connected(self) -> bool:
        """Tell whether a ControlPersist connection is there."""
        command = [*self._ssh(), b"-O", b"check", self._address()]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}  # type: Any
        return subprocess.call(command, stderr=subprocess.DEVNULL, **quiet) == 0

    def argv(self, command: str) -> List[bytes]:
        """Return the words that run a shell command there, with its pipes on ours.

        Args:
            command: for a POSIX shell.
        """
        become = self._connection.become
        if become is not None:
            command = become.build_become_command(command, self._connection._shell)
        else:
            command = "exec " + command
        if not self._is_ssh:
            return [b"/bin/sh", b"-c", os.fsencode(command)]
        # Through a shell of our choice, since the login shell may be any.
        return [
            *self._ssh(),
            b"--",
            self._address(),
            os.fsencode("/bin/sh -c " + shlex.quote(command)),
        ]

    def _address(self) -> bytes:
        connection = self._connection
        host = connection.get_option("host") or connection._play_context.remote_addr
        return os.fsencode(str(host))

    def _ssh(self) -> List[bytes]:
        """Return ssh and its options as the connection plugin sets them.

        A password was given when the connection was made: its helper is left out. ``-o`` given
        first wins: no prompt, and no new master that would keep our pipes open.
        """
        connection = self._connection
        built = connection._build_command(connection.get_option("ssh_executable"), "ssh")
        _close_pipe(connection)
        ssh = os.fsencode(connection.get_option("ssh_executable"))
        words = built[built.index(ssh) :]
        return [words[0], b"-o", b"BatchMode=yes", b"-o", b"ControlMaster=no", *words[1:]]


def _close_pipe(connection: Any) -> None:
    """Close the pipe that the plugin opened for a password, if it did."""
    for descriptor in getattr(connection, "sshpass_pipe", None) or ():
        os.close(descriptor)
    connection.sshpass_pipe = None


def _option(plugin: Any, name: str) -> Any:
    try:
        return plugin.get_option(name)
    except KeyError:
        return None


def _python(variables: Mapping[str, Any], is_remote: bool) -> str:
    """Return a host's interpreter; what would have to be discovered is the ``python3`` there."""
    python = str(variables.get("ansible_python_interpreter") or "auto")
    if python.startswith("auto"):
        return "python3" if is_remote else sys.executable
    return python


def _prefer_speed(connection: Any) -> None:
    """Have a connection that suits images: without ``-C``, with a cipher the processor knows.

    ``-C``, in Ansible's default, is slower than most networks; OpenSSH's first cipher takes twice
    the time of AES-GCM where there are instructions for AES. A connection that others made has
    what they asked for, so this one gets a socket of its own.
    """
    options = " ".join(connection.get_option(name) or "" for name in SSH_OPTIONS)
    if "controlpath" in options.lower() or connection.get_option("control_path"):
        return
    before = shlex.split(connection.get_option("ssh_args") or "")
    words = [word for word in before if word != "-C"]
    if (
        "ciphers" not in options.lower()
        and "-c" not in options.split()
        and b"aes" in frames.processor_flags()
    ):
        words += ["-o", "Ciphers=" + ",".join(CIPHERS)]
    if words == before:
        return
    parts = [connection.get_option(name) for name in ("host", "port", "remote_user")]
    digest = hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:10]
    connection.set_option("ssh_args", " ".join(shlex.quote(word) for word in words))
    connection.set_option("control_path", "%(directory)s/tm" + digest)


def is_here(action: Any) -> bool:
    """Tell whether a task runs on this machine as this very user, with nothing set around it."""
    connection = action._connection
    is_local = connection._load_name in LOCAL and connection.become is None
    return is_local and not any(action._task.environment or ())


def python_of(action: Any, task_vars: Mapping[str, Any]) -> str:
    """Return the interpreter of the host where a task runs, the one it is delegated to included."""
    delegated = action._task.delegate_to
    variables = task_vars["ansible_delegated_vars"][delegated] if delegated else task_vars
    python = action._templar.template(variables.get("ansible_python_interpreter"))
    is_remote = action._connection._load_name not in LOCAL
    return _python({"ansible_python_interpreter": python}, is_remote)


def of_play(action: Any, task_vars: Mapping[str, Any], name: str) -> Far:
    """Return the play's host, over the connection of the task.

    Args:
        action: the action plugin.
        task_vars: as it got them.
        name: of the host, for messages.
    """
    python = python_of(action, task_vars)
    return Far(name, action._connection, {"ansible_python_interpreter": python})


def of_inventory(action: Any, task_vars: Mapping[str, Any], host: str, name: str) -> Far:
    """Return another host of the inventory, as a task delegated to it would reach it.

    Args:
        action: the action plugin.
        task_vars: as it got them.
        host: inventory name.
        name: of the host, for messages.

    Raises:
        TmError: no inventory has the host.
    """
    if host not in task_vars["hostvars"]:
        raise TmError("%s is in no inventory; add it there" % host)
    variables = task_vars["hostvars"][host]
    connection = _connection(action, variables, host)
    return Far(name, connection, variables)


def _connection(action: Any, variables: Mapping[str, Any], host: str) -> Any:
    task = action._task
    context = copy.copy(action._play_context)
    context.remote_addr, context.port = host, None
    kind = variables.get("ansible_connection") or task.connection
    connection = connection_loader.get(kind, context, os.devnull)
    if connection is None:
        raise TmError("the connection plugin %r of %s is not installed" % (kind, host))
    connection.set_become_plugin(_become(task, variables))
    keys = task.dump_attrs()
    keys["timeout"] = context.timeout
    keys.pop("retries", None)
    if context.password:
        keys["password"] = context.password
    connection.set_options(keys, _options("connection", connection, variables))
    if connection.become is not None:
        if context.become_pass:
            keys["become_pass"] = context.become_pass
        connection.become.set_options(keys, _options("become", connection.become, variables))
    return connection


def _become(task: Any, variables: Mapping[str, Any]) -> Any:
    if not boolean(variables.get("ansible_become", task.become or False)):
        return None
    method = variables.get("ansible_become_method") or task.become_method
    plugin = become_loader.get(method)
    if plugin is None:
        raise TmError("the become plugin %r is not installed" % method)
    return plugin


def _options(kind: str, plugin: Any, variables: Mapping[str, Any]) -> Dict[str, Any]:
    names = C.config.get_plugin_vars(kind, plugin._load_name)
    return {name: variables[name] for name in names if name in variables}


def unreachable(far: Far, error: AnsibleConnectionFailure) -> TmError:
    """Return the failure to reach the host that is not the play's, which Ansible cannot name."""
    return TmError("%s is unreachable: %s" % (far.name, to_text(error).strip()))
