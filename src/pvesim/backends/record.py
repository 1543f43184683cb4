"""Guests that are nothing but a record: starting one changes the record, nothing runs.

`Backend` is the seam: what a guest's kind asks of the thing that the guest is made of. Another backend can make real
containers of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pvesim.cluster.state import Guest


class Backend(Protocol):
    """Life of one guest; called after all rules were checked, raising TaskFailed with the text of the failure."""

    async def start(self, guest: Guest) -> None: ...

    async def stop(self, guest: Guest, *, force: bool) -> None: ...

    async def destroy(self, guest: Guest) -> None: ...

    async def exec(self, guest: Guest, command: list[str], stdin: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a command inside."""
        ...

    def addresses(self, guest: Guest) -> dict[str, list[str]]:
        """Addresses in CIDR form by interface name, as far as the backend knows better than the config; else {}."""
        ...


class RecordBackend:
    """Nothing runs; commands succeed without output."""

    async def start(self, guest: Guest) -> None:
        return

    async def stop(self, guest: Guest, *, force: bool) -> None:
        return

    async def destroy(self, guest: Guest) -> None:
        return

    async def exec(self, guest: Guest, command: list[str], stdin: str) -> tuple[int, str, str]:
        return 0, "", ""

    def addresses(self, guest: Guest) -> dict[str, list[str]]:
        return {}
