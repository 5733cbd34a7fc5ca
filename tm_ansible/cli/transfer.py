"""``tm-ansible transfer``: a whole transfer script with live output."""

import argparse

from tm_ansible.cli import session
from tm_ansible.script import parse_script, read_script


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "transfer",
        help="carry out a transfer script",
        description="Carry out a transfer script as the driver would, with its log lines on "
        "STDOUT as they happen, the error message on STDERR, and exit code 0 or 1.",
    )
    parser.add_argument("file", metavar="FILE", help="the transfer script")
    session.add_options(parser)
    parser.set_defaults(run=session.by_the_rules(run))


def run(arguments: argparse.Namespace) -> int:
    """Carry the script out; an empty one succeeds."""
    actions = parse_script(read_script(arguments.file))
    return session.carry_out(arguments, actions) if actions else 0
