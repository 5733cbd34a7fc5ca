"""``tm-ansible check``: will this set-up work?"""

import argparse
import os
from collections.abc import Mapping

from tm_ansible.cli import front_end, hosts
from tm_ansible.cli.findings import Finding, bad, failed, good, render, render_json
from tm_ansible.configuration import load_configuration
from tm_ansible.errors import SettingsError
from tm_ansible.locations import locate


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check",
        help="tell whether a set-up will work, and what to do where it will not",
        description="Look at an action map, its settings, this machine and every host of the "
        "inventories. Each finding has its remedy. Exit code 0 when nothing fails. Set "
        "ONE_LOCATION for a self-contained installation.",
    )
    parser.add_argument(
        "map",
        metavar="MAP",
        nargs="?",
        help="the action map, absolute or below OpenNebula's etc directory; without it all "
        "that are installed",
    )
    parser.add_argument("--json", action="store_true", help="write the findings as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the maps and show what was found."""
    maps = [arguments.map] if arguments.map else _installed(os.environ)
    findings = {}
    for name in maps:
        findings[name] = check(name, os.environ)
        if not arguments.json:
            print(f"{name}\n{render(findings[name])}\n", flush=True)
    if arguments.json:
        print(render_json(findings))
    return 1 if any(failed(found) for found in findings.values()) else 0


def _installed(environment: Mapping[str, str]) -> list[str]:
    etc = locate(environment).etc
    maps = [
        str(path.relative_to(etc))
        for path in sorted(etc.glob("tm_ansible_*/*.conf"))
        if path.stem == path.parent.name
    ]
    if not maps:
        raise SettingsError(
            f"{etc} has no action map of tm_ansible: run tm-ansible install, or set ONE_LOCATION"
        )
    return maps


def check(name: str, environment: Mapping[str, str]) -> list[Finding]:
    """Look at everything that one action map needs.

    Args:
        name: the action map, as ``arguments`` in oned.conf names it.
        environment: ours, which stands for oned's.

    Returns:
        What was found.
    """
    try:
        configuration = load_configuration(name, environment)
    except SettingsError as error:
        return [bad("configuration", str(error), "correct it and check again")]
    return [
        good("map", str(configuration.map_path)),
        *front_end.check(configuration),
        *hosts.check(configuration),
    ]
