"""The container monorepo: a directory per container with `container.env` (older: `config.env`) and its configuration.

Sources: the documents of Proxmox-GitOps, and where they say nothing the code of its roles `container` and `mount`.
"""
