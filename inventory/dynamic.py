#!/usr/bin/env python3
"""Dynamic inventory: the hosts that OpenNebula itself knows.

Ansible calls this file with --list or --host NAME. The hosts come from the file that
TM_HOSTS_FILE names, or from `hosts.json` beside this script: the output of `onehost list -j`,
kept fresh by cron (`onehost list -j >hosts.json.new && mv hosts.json.new hosts.json`), so that
no transfer ever waits for oned, which waits for the transfer.

A host's cluster becomes a group. Attributes of a host's template whose names begin with TM_ or
ANSIBLE_ become its variables, in lower case.
"""

import json
import os
import re
import sys
from pathlib import Path


def read_hosts():
    """Return the hosts as `onehost list -j` gives them."""
    path = Path(os.environ.get("TM_HOSTS_FILE") or Path(__file__).with_name("hosts.json"))
    try:
        pool = json.loads(path.read_text(encoding="utf-8"))["HOST_POOL"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{path}: not the output of `onehost list -j`: {error}")
    hosts = pool.get("HOST", [])
    return hosts if isinstance(hosts, list) else [hosts]


def variables(host):
    """Return the Ansible variables of one host."""
    return {
        name.lower(): value
        for name, value in host.get("TEMPLATE", {}).items()
        if name.startswith(("TM_", "ANSIBLE_"))
    }


def inventory(hosts):
    """Return everything in the form that Ansible reads from --list."""
    groups = {}
    for host in hosts:
        group = re.sub(r"\W", "_", host.get("CLUSTER") or "ungrouped")
        groups.setdefault(group, {"hosts": []})["hosts"].append(host["NAME"])
    return {"_meta": {"hostvars": {host["NAME"]: variables(host) for host in hosts}}, **groups}


def main():
    """Answer Ansible."""
    found = inventory(read_hosts())
    if sys.argv[1:2] == ["--host"] and len(sys.argv) == 3:
        answer = found["_meta"]["hostvars"].get(sys.argv[2], {})
    elif sys.argv[1:] == ["--list"]:
        answer = found
    else:
        sys.exit("usage: dynamic.py --list | --host NAME")
    json.dump(answer, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
