"""``ansible-playbook`` in a process forked from one that has run a playbook before.

What such a run must not inherit is settled here: command line, vault, plugin directories,
temporary directory, and what Ansible has warned of. The rest is code and metadata that is the same
for every run of one configuration.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible import constants, context
from ansible.cli import playbook as playbook_cli
from ansible.plugins import loader
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.utils.context_objects import CLIArgs, GlobalCLIArgs
from ansible.utils.display import Display

# Variables that ansible-runner and the engine set anew for each run.
OF_ONE_RUN = frozenset({"ANSIBLE_LOCAL_TEMP", "AWX_ISOLATED_DATA_DIR", "TM_ANSIBLE_RUN", "TMPDIR"})

_ENVIRONMENT = dict(os.environ)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run ansible-playbook in this process, as if it had just been started.

    Args:
        arguments: its command line, the name of the program first.
        environment: all its variables.

    Returns:
        its exit status.
    """
    os.environ.clear()
    os.environ.update(environment)
    _forget()
    sys.argv = list(arguments)
    try:
        playbook_cli.PlaybookCLI.cli_executor(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def differs(environment: Mapping[str, str]) -> list[str]:
    """List the variables in which an environment is not the one that Ansible was loaded in.

    Ansible reads its configuration when it is imported: a run in another environment needs a
    process of its own.
    """
    names = (set(environment) | set(_ENVIRONMENT)) - OF_ONE_RUN
    return sorted(name for name in names if environment.get(name) != _ENVIRONMENT.get(name))


def find_collections(directory: str) -> None:
    """Have Ansible look for collections in a directory first, from now on.

    Args:
        directory: holds ``ansible_collections``.
    """
    loader.init_plugin_loader([directory])


def keep_parser() -> None:
    """Have the parser of the command line made once: it is the same for all runs."""
    make = playbook_cli.PlaybookCLI.init_parser
    made: list[Any] = []

    def init_parser(cli: Any) -> None:
        if not made:
            make(cli)
            made.append(cli.parser)
        cli.parser = made[0]

    playbook_cli.PlaybookCLI.init_parser = init_parser


def keep_loaders() -> Callable[[], None]:
    """Return what takes back the plugin directories that a run adds to Ansible's loaders."""
    loaders = [each for _, each in loader.get_all_plugin_loaders()]
    before = [(each, list(each._extra_dirs)) for each in loaders]

    def restore() -> None:
        for each, directories in before:
            each._extra_dirs[:] = directories
            each._paths = None

    return restore


def _forget() -> None:
    GlobalCLIArgs._Singleton__instance = None
    context.CLIARGS = CLIArgs({})
    _forget_vault()
    AnsibleCollectionConfig.default_collection = None
    playbook_cli.CLI.run.__globals__["init_plugin_loader"] = _init_plugin_loader
    display = Display()
    for name in ("_warns", "_deprecations", "_errors"):
        getattr(display, name, {}).clear()
    constants.DEFAULT_LOCAL_TMP = constants.config.get_config_value("DEFAULT_LOCAL_TMP")


def _forget_vault() -> None:
    from ansible.parsing import vault  # noqa: PLC0415 - what it has differs between versions

    secrets: Any = getattr(vault, "VaultSecretsContext", None)
    if secrets is not None:
        secrets._current = None


def _init_plugin_loader(paths: object = None) -> None:
    """Initialise plugins; there can be only one finder of collections."""
    if AnsibleCollectionConfig.collection_finder:
        loader._load_plugin_filter()
    else:
        loader.init_plugin_loader(paths)
