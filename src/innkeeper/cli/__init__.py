"""The command `innkeeper`: thin commands over `innkeeper.runtime`."""

from innkeeper.cli.program import main

__all__ = ["main"]
