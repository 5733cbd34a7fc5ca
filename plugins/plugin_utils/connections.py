"""What starts a program with open pipes on a host, over the connection that Ansible has."""

import copy
import hashlib
import os
import re
import shlex
import subprocess
import sys
from typing import Any, Dict, List, Mapping

import ansible.constants as C  # noqa: N812 - Ansible's own name for it
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.text.converters import to_text
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.one.tm.plugins.module_utils import ciphers
from ansible_collections.one.tm.plugins.module_utils.errors import TmError

__metaclass__ = type

FRONT_END = "localhost"
SSH = ("ssh", "ansible.builtin.ssh", "ansible.legacy.ssh")
SSH_OPTIONS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
# Addresses and users: nothing that ssh could take for an option, nor split.
WORD = re.compile(r"[A-Za-z0-9_:\[][A-Za-z0-9_.:%@\\$\[\]-]{0,254}\Z")
LOCAL = ("local", "ansible.builtin.local", "ansible.legacy.local")


class Far:
    """A host on which a program can be started.

    Attributes:
        name: of the host, for messages.
        argv: starts a shell command there, once the command is appended by ``command``.
        python: its interpreter.
        is_ssh: whether it is reached by ssh; else it is this machine.
        environment: variables of programs there, as ``env`` takes them; already quoted.
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
        self.is_ssh = connection._load_name in SSH
        if not self.is_ssh and connection._load_name not in LOCAL:
            raise TmError(
                "images cannot be moved over the connection %r of %s; use ssh or local"
                % (connection._load_name, name)
            )
        self.python = _python(variables, self.is_ssh)
        self.environment = ""
        self._refuse_password()
        if self.is_ssh:
            self._ciphers = _ciphers(name, variables.get("tm_ciphers") or [])
            self._direct_address = variables.get("tm_direct_address")
            _prefer_speed(connection, self._ciphers)

    @property
    def is_this_user_here(self) -> bool:
        """Tell whether a program there is one of this machine and this user, and nothing more."""
        return not self.is_ssh and self._connection.become is None and not self.environment

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
        if self.is_ssh and not self._is_connected():
            self._connection._connect()
            self._connection.exec_command("true", sudoable=False)

    def _is_connected(self) -> bool:
        """Tell whether a ControlPersist connection is there."""
        command = [*self._ssh(), b"-O", b"check", b"--", self._address()]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}  # type: Any
        return subprocess.call(command, stderr=subprocess.DEVNULL, **quiet) == 0

    def argv(self, command: str) -> List[bytes]:
        """Return the words that run a shell command there, with its pipes on ours.

        Args:
            command: for a POSIX shell.
        """
        command = self._as_its_user(command)
        if not self.is_ssh:
            return [b"/bin/sh", b"-c", os.fsencode(command)]
        return [*self._ssh(), b"--", self._address(), os.fsencode(_in_a_shell(command))]

    def way(self, command: str) -> Dict[str, Any]:
        """Return how another host runs a command here by ssh, for ``direct.ssh_words``.

        Args:
            command: for a POSIX shell.

        Raises:
            TmError: address or user could be taken for something else.
        """
        option = self._connection.get_option
        address = str(self._direct_address or os.fsdecode(self._address()))
        user = option("remote_user")
        for word in (address, user or "x"):
            if not WORD.match(word):
                raise TmError(
                    "%r is no address or user that ssh takes; mend the variables of %s"
                    % (word, self.name)
                )
        return {
            "address": address,
            "user": user,
            "port": option("port"),
            "seconds": int(option("timeout")),
            "check_key": bool(option("host_key_checking")),
            "ciphers": self._ciphers,
            "command": _in_a_shell(self._as_its_user(command)),
        }

    def _as_its_user(self, command: str) -> str:
        become = self._connection.become
        if self.environment:
            command = "env %s %s" % (self.environment, command)
        if become is not None:
            return str(become.build_become_command(command, self._connection._shell))
        return "exec " + command

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


def _in_a_shell(command: str) -> str:
    """Return a command for any login shell, which runs it in a shell of our choice."""
    return "/bin/sh -c " + shlex.quote(command)


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


def _ciphers(host: str, wanted: Any) -> List[str]:
    """Return the ciphers that a host's variable ``tm_ciphers`` names.

    Raises:
        TmError: it is no list of names.
    """
    names = wanted if isinstance(wanted, list) else [wanted]
    for name in names:
        if not ciphers.NAME.match(str(name)):
            raise TmError(
                "tm_ciphers of %s: %r is no cipher; 'ssh -Q cipher' tells their names"
                % (host, name)
            )
    return [str(name) for name in names]


def _prefer_speed(connection: Any, wanted: List[str]) -> None:
    """Have a connection that suits images: without ``-C``, with a cipher the processor knows.

    ``-C``, in Ansible's default, is slower than most networks. If the plugin's own connection
    suits, it is used; else this one gets a socket of its own, which all that want the same share.
    Of an option that is given twice ssh takes the first.

    Args:
        connection: Ansible's connection plugin.
        wanted: ciphers; none for the quickest, unless the site's options name some.
    """
    options = " ".join(connection.get_option(name) or "" for name in SSH_OPTIONS)
    if "controlpath" in options.lower() or connection.get_option("control_path"):
        return
    before = shlex.split(connection.get_option("ssh_args") or "")
    words = [word for word in before if word != "-C"]
    has_ciphers = "ciphers" in options.lower() or "-c" in options.split()
    names = ciphers.order(wanted) if wanted or not has_ciphers else []
    if names:
        words = ["-o", "Ciphers=" + ",".join(names), *words]
    if words == before:
        return
    parts = [connection.get_option(name) for name in ("host", "port", "remote_user")]
    parts += [*words, options, connection.get_option("private_key_file")]
    # What is forwarded is the agent that the connection was made with.
    parts.append(os.environ.get("SSH_AUTH_SOCK") or "")
    digest = hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:10]
    connection.set_option("ssh_args", " ".join(shlex.quote(word) for word in words))
    connection.set_option("control_path", "%(directory)s/tm" + digest)


def is_here(action: Any) -> bool:
    """Tell whether a task runs on this machine as this very user, with nothing set around it."""
    connection = action._connection
    is_local = connection._load_name in LOCAL and connection.become is None
    return is_local and not any(action._task.environment or ())


def can_stream(action: Any) -> bool:
    """Tell whether a program of the task can have open pipes: by ssh or here, without a password.

    Args:
        action: the action plugin.
    """
    connection = action._connection
    if connection.become is not None and _option(connection.become, "become_pass"):
        return False
    if connection._load_name in SSH:
        return not _option(connection, "password")
    return connection._load_name in LOCAL


def python_of(action: Any, task_vars: Mapping[str, Any]) -> str:
    """Return the interpreter of the host where a task runs, the one it is delegated to included."""
    variables = _variables(action, task_vars)
    python = action._templar.template(variables.get("ansible_python_interpreter"))
    is_remote = action._connection._load_name not in LOCAL
    return _python({"ansible_python_interpreter": python}, is_remote)


def _variables(action: Any, task_vars: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the variables of the host where a task runs, not templated."""
    delegated = action._task.delegate_to
    return task_vars["ansible_delegated_vars"][delegated] if delegated else task_vars


def of_play(action: Any, task_vars: Mapping[str, Any], name: str) -> Far:
    """Return the play's host, over the connection of the task.

    Args:
        action: the action plugin.
        task_vars: as it got them.
        name: of the host, for messages.
    """
    given = _variables(action, task_vars)
    names = ("tm_ciphers", "tm_direct_address")
    variables = {key: action._templar.template(given.get(key)) for key in names}
    variables["ansible_python_interpreter"] = python_of(action, task_vars)
    far = Far(name, action._connection, variables)
    far.environment = action._compute_environment_string()
    return far


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
