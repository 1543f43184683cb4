"""The hypervisor: Proxmox VE over its HTTP API. The only package that speaks HTTP to it."""
