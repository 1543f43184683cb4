"""What runs inside guests may be another revision's word than what they are: a branch that configures and no more.

It holds over one revision of the source's own branch; the next one says both again. Where it was forgotten, that one
does, too.
"""

from dataclasses import replace

from innkeeper.control.house import House
from innkeeper.control.rendered import Rendered
from innkeeper.model.objects import Guest
from innkeeper.model.sources import Source


async def inside(house: House, source: Source, revision: str) -> str:
    """The revision that says what runs in guests of this one; empty: itself."""
    last = await house.store.value(_key(source))
    return str(last["revision"]) if isinstance(last, dict) and last.get("over") == revision else ""


async def configured(house: House, source: Source, revision: str, within: str) -> None:
    """From now on what runs in the guests of this revision is as `within` has it."""
    await house.store.put_value(_key(source), {"over": revision, "revision": within})


def grafted(found: Rendered, other: Rendered) -> Rendered:
    """Guests as the one declares them, with what the other runs in them. Errors of either are errors of the whole."""
    if not found.loaded.ok:
        return found
    if not other.loaded.ok:
        return replace(found, loaded=replace(found.loaded, diagnostics=other.loaded.diagnostics))
    theirs = {guest.ref: guest for guest in other.loaded.declared.guests}
    declared = found.loaded.declared
    declared = replace(declared, guests=tuple(_with(guest, theirs.get(guest.ref, guest)) for guest in declared.guests))
    return replace(found, inside=other.revision, loaded=replace(found.loaded, declared=declared))


def _with(guest: Guest, other: Guest) -> Guest:
    said = guest.spec.model_fields_set | other.spec.model_fields_set
    inside: dict[str, object] = {name: getattr(other.spec, name) for name in ("configure", "health") if name in said}
    return replace(guest, spec=guest.spec.model_copy(update=inside), roles=other.roles)


def _key(source: Source) -> str:
    return f"inside/{source.name}"
