"""Containers: their settings, how they come to be, live and go (pve-container)."""
