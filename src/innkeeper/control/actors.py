"""Who asks for something: a person, a token, or Innkeeper itself."""

from dataclasses import dataclass

from innkeeper.model.jobs import Trigger
from innkeeper.model.records import Role


@dataclass(frozen=True, slots=True)
class Actor:
    """`name` is a user's; `address` where the request came from. Whether `role` suffices is checked by who lets in."""

    name: str
    role: Role
    address: str = ""
    via: Trigger = "portal"


ITSELF = Actor("", "admin", via="timer")
"""Innkeeper acting on a schedule or on what it saw."""
