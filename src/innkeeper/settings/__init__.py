"""The vocabulary of Proxmox guest settings: what exists, how it is spelt, how it changes. Pure."""
