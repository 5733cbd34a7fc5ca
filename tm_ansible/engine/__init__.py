"""The engine: carries a transfer's actions out as playbooks, in another process."""
