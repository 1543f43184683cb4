"""What the web stands on: handed in whole by whoever wires the server, so that no page knows how anything is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from innkeeper.control.commands import Commands
from innkeeper.control.ports import Accounts, Bus, Store
from innkeeper.model.server import ServerSpec


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Parts:
    """`url` is how people reach the portal (`https://innkeeper.example.org`), without a slash at its end."""

    store: Store
    accounts: Accounts
    commands: Commands
    bus: Bus
    url: str
    server: ServerSpec = field(default_factory=ServerSpec)
    clock: Callable[[], datetime] = now

    @property
    def secure(self) -> bool:
        """Whether cookies may only travel over TLS."""
        return urlsplit(self.url).scheme == "https"
