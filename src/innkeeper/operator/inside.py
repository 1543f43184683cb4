"""What the operator needs to work inside guests: its keys, the Secrets that roles name, and the engine's own way in."""

from collections.abc import Iterable
from dataclasses import dataclass

from innkeeper.engine.errors import EngineError
from innkeeper.engine.inside import Insider
from innkeeper.model.objects import Guest
from innkeeper.operator.keyring import Keyring
from innkeeper.operator.reports import Report, problem
from innkeeper.operator.secrets import Place, Secrets, named_by


@dataclass(frozen=True, slots=True)
class Inside:
    """`insider` keeps its keys in the keyring's directory, and reads what is in `secrets`."""

    insider: Insider
    keyring: Keyring
    secrets: Secrets

    async def ready(self, guests: Iterable[Guest]) -> Report | None:
        """Have the keys, and the Secrets of these guests' roles, as they are now; or why they cannot be had."""
        if not (asked := list(guests)):
            return None
        try:
            await self.keyring.open()
            await self.secrets.read(places(asked))
        except EngineError as error:
            return problem("KeysNotReady", str(error), None)
        return None

    async def save(self) -> Report | None:
        """Keep what was made, before it is used; or why it cannot be kept."""
        try:
            await self.keyring.save()
        except EngineError as error:
            return problem("KeysNotReady", str(error), None)
        return None


def worked_in(guest: Guest) -> bool:
    return guest.spec.configure is not None or bool(guest.spec.health)


def places(guests: Iterable[Guest]) -> set[Place]:
    """The Secrets that the roles of these guests name, each in its object's namespace."""
    return {place for guest in guests for place in named_by(guest, guest.ref.name.partition("/")[0])}
