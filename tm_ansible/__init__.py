"""A transfer manager for OpenNebula that moves images with Ansible playbooks."""
