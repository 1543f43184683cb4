"""Frozen values without I/O: what people declare, what Proxmox shows, what a plan says."""
