"""What the web stands on: handed in whole by whoever wires the server, so that no page knows how anything is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from innkeeper.control.commands import Commands
from innkeeper.control.memory import Accounts, Store
from innkeeper.control.ports import Bus
from innkeeper.model.server import ServerSpec
from innkeeper.web.hearing import NO_HOOKS, Hooks
from innkeeper.web.metrics import Metrics
from innkeeper.web.oidc import Provider


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
    providers: Mapping[str, Provider] = field(default_factory=dict)
    """Where people may sign in besides, by name: those of `server.signIn.oidc`."""
    hooks: Hooks = NO_HOOKS
    metrics: Metrics = field(default_factory=Metrics)
    clock: Callable[[], datetime] = now

    @property
    def secure(self) -> bool:
        """Whether cookies may only travel over TLS."""
        return urlsplit(self.url).scheme == "https"
