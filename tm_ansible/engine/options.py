"""What a site has set, as Ansible's commands take it: variables of their environment, and words."""

from pathlib import Path

from tm_ansible.engine.job import RunOptions


def variables(directory: Path, options: RunOptions) -> dict[str, str]:
    """Give what is set in the environment of any command of Ansible.

    Args:
        directory: for its temporary files.
        options: how Ansible is run.
    """
    environment = {
        "ANSIBLE_HOST_KEY_CHECKING": str(options.host_key_checking),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
    }
    if options.ansible_config:
        environment["ANSIBLE_CONFIG"] = options.ansible_config
    return environment


def words(options: RunOptions) -> list[str]:
    """Give ansible-playbook's options but for inventories.

    Args:
        options: how Ansible is run.
    """
    given = ["--timeout", str(options.connect_seconds)]
    for path in options.extra_vars_files:
        given += ["--extra-vars", f"@{path}"]
    for name, value in (
        ("--vault-password-file", options.vault_password_file),
        ("--user", options.remote_user),
        ("--private-key", options.private_key_file),
        ("--become-user", options.become_user),
    ):
        if value:
            given += [name, value]
    given += ["--become"] if options.become else []
    given += ["--check"] if options.check else []
    return given
