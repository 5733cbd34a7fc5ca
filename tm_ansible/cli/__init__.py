"""The command ``tm-ansible``, for people, cron and packages; oned starts ``one_tm_ansible``."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from tm_ansible import version
from tm_ansible.cli import console
from tm_ansible.errors import TmAnsibleError

_COMMANDS = ("install", "run", "transfer", "check", "demo")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as all others."""

    def error(self, message: str) -> NoReturn:
        """Complain and exit."""
        console.complain(f"{message} (see {self.prog} --help)")
        sys.exit(2)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words name.

    Args:
        words: of the command line, without the program; None for ``sys.argv``.

    Returns:
        The exit status: 0 when all went well, 1 when a transfer failed or something does not
        work, 2 when the command could not be carried out as given.
    """
    console.settle()
    arguments = _parser().parse_args(words)
    try:
        status: int = arguments.run(arguments)
    except TmAnsibleError as error:
        console.complain(str(error))
        return 2
    except BrokenPipeError:
        console.forget_output()
        return 1
    except OSError as error:
        console.forget_output()  # a full disk behind STDOUT would be told again at the exit
        console.complain(f"{error.filename or 'cannot write the output'}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tm-ansible",
        description="A transfer manager for OpenNebula that moves images with Ansible playbooks.",
    )
    parser.add_argument("--version", action="version", version=f"tm-ansible {version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name in _COMMANDS:
        importlib.import_module(f"tm_ansible.cli.{name}").add_parser(commands)
    return parser
