"""The health checks of many guests: once, or until all of them are well."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from innkeeper.engine.errors import EngineError
from innkeeper.engine.interior import Interior, Place
from innkeeper.engine.ports import Event, Listener
from innkeeper.engine.result import Result, StepResult
from innkeeper.model.inside import CheckResult
from innkeeper.model.objects import Ref
from innkeeper.model.observed import ObservedGuest

Checks = Mapping[Ref, tuple[CheckResult, ...]]

_LOOK_SECONDS = 1.0


async def look(interior: Interior, guests: Mapping[Ref, tuple[Place, ObservedGuest]]) -> Checks:
    """The results of every guest that declares checks."""
    asked = [ref for ref in guests if ref in interior.items and interior.items[ref].health]
    found = await asyncio.gather(*(interior.check(*guests[ref], ref) for ref in asked))
    return dict(zip(asked, found, strict=True))


async def wait(
    result: Result,
    interior: Interior | None,
    places: Mapping[str, Place],
    seconds: float,
    listener: Listener,
    stopped: Callable[[], bool],
) -> Result:
    """The result once every guest is healthy; those that are not within `seconds` have failed, with the last answer.

    A guest without checks is healthy when it runs as declared, which its step has proved.
    """
    until = asyncio.get_running_loop().time() + seconds

    async def one(item: StepResult) -> StepResult:
        step = item.step
        if item.state != "done" or step.action == "delete" or interior is None or step.ref not in interior.items:
            return item
        if not interior.items[step.ref].health:
            return item
        place, told = places[step.cluster], ""
        while True:
            try:
                seen = await place.hypervisor.guest(step.vmid)
                checks = await interior.check(place, seen, step.ref) if seen is not None else ()
            except EngineError as error:
                checks = (CheckResult("guest", False, str(error)),)
            if checks and all(check.ok for check in checks):
                return replace(item, checks=checks)
            problem = why(checks) or "the guest is gone"
            if asyncio.get_running_loop().time() >= until or stopped():
                error_text = f"not healthy after {seconds:g} seconds: {problem}"
                listener(Event(step.ref, step, "failed", error_text))
                return replace(item, state="failed", error=error_text, checks=checks)
            if problem != told:
                told = problem
                listener(Event(step.ref, step, "waiting", problem))
            await asyncio.sleep(_LOOK_SECONDS)

    return replace(result, results=tuple(await asyncio.gather(*map(one, result.results))))


def why(checks: tuple[CheckResult, ...]) -> str:
    """The failed checks with their last answers; empty where all went well."""
    return "; ".join(f"{check.name}: {check.detail or 'failed'}" for check in checks if not check.ok)
