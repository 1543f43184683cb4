"""GitOps for Proxmox VE: declare containers and virtual machines, plan, apply, heal, prune."""
