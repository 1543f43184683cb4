"""The command `innkeeper`: thin commands over `innkeeper.runtime`."""

from innkeeper.cli.main import main

__all__ = ["main"]
