"""Inside the guest: how it is reached, how Ansible configures it, and whether what runs in it answers."""
