"""Guests that are nothing but a record: starting one changes the record, nothing runs.

`Backend` is the seam: what a guest's kind asks of the thing that the guest is made of. `pvesim.backends.lxc` makes
real containers of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pvesim.cluster.state import Config, Guest, Volume


@dataclass(frozen=True)
class Login:
    """How somebody gets into a new container; never part of the state."""

    password: str | None = None
    ssh_keys: str = ""

    def __repr__(self) -> str:
        return "Login(…)"


class Backend(Protocol):
    """Life of one guest; called after all rules were checked, raising TaskFailed with the text of the failure."""

    async def unpack(
        self, guest: Guest, config: Config, archive: Volume, login: Login, log: Callable[[str], None]
    ) -> None:
        """Fill the volumes that `config` names from a template or a backup."""
        ...

    async def start(self, guest: Guest) -> int | None:
        """Start it with its `config`; returns the process id of its init, None where there is none."""
        ...

    async def stop(self, guest: Guest, *, force: bool, timeout: float | None = None) -> None:
        """Stop it; without `force` it goes down by itself within `timeout` seconds (None: the kind's default)."""
        ...

    async def apply(self, guest: Guest) -> None:
        """Make what runs follow `guest.running`, of which something may have changed."""
        ...

    async def destroy(self, guest: Guest) -> None:
        """Forget a stopped guest, whose volumes are gone already."""
        ...

    async def snapshot(self, guest: Guest, volume: Volume, name: str) -> None: ...

    async def drop_snapshot(self, guest: Guest, volume: Volume, name: str) -> None: ...

    async def rollback(self, guest: Guest, volume: Volume, name: str) -> None: ...

    async def copy(self, source: Volume, target: Volume, snapshot: str | None = None) -> None:
        """Give `target` what `source` holds, or held at that snapshot."""
        ...

    async def archive(self, guest: Guest, volume: Volume) -> dict[str, Any]:
        """What a backup notes of a volume so that `unpack` can bring its content back; JSON values."""
        ...

    async def receive(self, volume: Volume, content: bytes) -> None:
        """Keep what was uploaded as this volume."""
        ...

    async def exec(self, guest: Guest, command: list[str], stdin: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a command inside."""
        ...

    async def addresses(self, guest: Guest) -> dict[str, list[str]]:
        """Addresses in CIDR form by interface name, as far as the backend knows better than the config; else {}."""
        ...


class RecordBackend:
    """Nothing runs; commands succeed without output."""

    async def unpack(
        self, guest: Guest, config: Config, archive: Volume, login: Login, log: Callable[[str], None]
    ) -> None:
        return

    async def start(self, guest: Guest) -> int | None:
        return None

    async def stop(self, guest: Guest, *, force: bool, timeout: float | None = None) -> None:
        return

    async def apply(self, guest: Guest) -> None:
        return

    async def destroy(self, guest: Guest) -> None:
        return

    async def snapshot(self, guest: Guest, volume: Volume, name: str) -> None:
        return

    async def drop_snapshot(self, guest: Guest, volume: Volume, name: str) -> None:
        return

    async def rollback(self, guest: Guest, volume: Volume, name: str) -> None:
        return

    async def copy(self, source: Volume, target: Volume, snapshot: str | None = None) -> None:
        return

    async def archive(self, guest: Guest, volume: Volume) -> dict[str, Any]:
        return {}

    async def receive(self, volume: Volume, content: bytes) -> None:
        return

    async def exec(self, guest: Guest, command: list[str], stdin: str) -> tuple[int, str, str]:
        return 0, "", ""

    async def addresses(self, guest: Guest) -> dict[str, list[str]]:
        return {}
