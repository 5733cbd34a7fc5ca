"""``tm-ansible run``: one action, by the rules of action scripts."""

import argparse
from dataclasses import replace

from tm_ansible.cli import session
from tm_ansible.errors import ScriptError
from tm_ansible.script import Action, parse_script


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="carry out one action: tm-ansible run CLONE fe:/a node1:/b --model ssh",
        description="Carry out one action by the rules of OpenNebula's action scripts: log lines "
        "on STDOUT, the error message between its separators on STDERR, exit code 0 or 1.",
    )
    parser.add_argument("verb", metavar="VERB", help="CLONE, LN, MKSWAP, MKIMAGE, DELETE or MV")
    parser.add_argument("words", metavar="ARGUMENT", nargs="*", help="as in a transfer script")
    session.add_options(parser)
    parser.set_defaults(run=session.by_the_rules(run))


def run(arguments: argparse.Namespace) -> int:
    """Carry the action out."""
    try:
        return session.carry_out(arguments, [_action(arguments.verb, arguments.words)])
    except ScriptError as error:
        raise ScriptError(str(error).removeprefix("line 1: ")) from None


def _action(verb: str, words: list[str]) -> Action:
    parsed = parse_script(verb)
    if len(parsed) != 1:
        raise ScriptError("no action given: expected CLONE, LN, MKSWAP, MKIMAGE, DELETE or MV")
    return replace(parsed[0], arguments=(*parsed[0].arguments, *words))
