"""Plugins that Ansible loads from their files; the product does not import them."""
