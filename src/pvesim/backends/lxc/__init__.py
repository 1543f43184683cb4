"""Containers that are real: LXC's, on bridges of a network namespace of their own, on overlays of a template."""
