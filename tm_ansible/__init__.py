"""A transfer manager for OpenNebula that moves images with Ansible playbooks."""


def version() -> str:
    """Tell which version this is, of the package that is installed."""
    from importlib import metadata  # noqa: PLC0415 (whoever starts the driver waits for imports)

    try:
        return metadata.version("tm_ansible")
    except metadata.PackageNotFoundError:
        return "of a checkout"
