"""Runs that start from a process in which Ansible is loaded already."""
