"""Every setting that Proxmox guests have: its form, its limits, and how it changes."""
