"""How a webhook's message is proved and read: handed in, because forges are no affair of the web."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from innkeeper.control.ports import Hint

Headers = Mapping[str, str]
Cause = Literal["", "signature", "malformed", "repository"]


@dataclass(frozen=True, slots=True)
class Heard:
    """A hint; or refused, for a `cause`; or neither: genuine, and there is nothing to do."""

    hint: Hint | None = None
    cause: Cause = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hooks:
    """`receive` proves and reads a message for one source; `addressed` finds those that a message is meant for."""

    receive: Callable[[str, Headers, bytes], Heard]
    addressed: Callable[[Headers, bytes], Mapping[str, Heard]]


def _nobody(source: str, headers: Headers, body: bytes) -> Heard:
    return Heard(cause="signature", reason="webhooks are not taken here")


NO_HOOKS = Hooks(_nobody, lambda headers, body: {})
