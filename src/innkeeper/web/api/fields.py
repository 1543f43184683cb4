"""What requests may hold: every text bounded, every number one that a database can keep."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from innkeeper.model.objects import GuestKind, Ref

_LARGEST = 2**31 - 1
_PLAIN = r"^[^\x00-\x1f\x7f]*$"

Number = Annotated[int, Path(ge=1, le=_LARGEST)]
Before = Annotated[int | None, Query(ge=1, le=_LARGEST, description="go on below this id")]
Word = Annotated[str, StringConstraints(max_length=255, pattern=_PLAIN)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$"
Named = Annotated[str, StringConstraints(pattern=NAME)]
NameInPath = Annotated[str, Path(pattern=NAME)]
Words = Annotated[list[Word], Query(max_length=100)]
Names = Annotated[tuple[Word, ...], "guests by name (web) or reference (Container/web)"]
Password = Annotated[str, StringConstraints(max_length=1024)]


class Body(BaseModel):
    """A request's body: what is not known is refused, not passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)


async def ref_of(kind: GuestKind, name: NameInPath) -> Ref:
    return Ref(kind, name)
