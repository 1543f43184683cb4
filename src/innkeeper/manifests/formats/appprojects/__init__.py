"""An Ansible inventory with `app_projects`: projects in environments, each of which is a container of its own.

Source: the app stack's documents; the names of the `lxc_*` variables are those of its role `proxmox_vm`.
"""
