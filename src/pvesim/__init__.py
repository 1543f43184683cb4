"""The Proxmox VE API on one machine, for anyone who writes a Proxmox client."""
