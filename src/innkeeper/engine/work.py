"""One step from its plan to its proof: call, look, and decide again until the guest is as it was declared.

Looking again *is* the resume, the retry and the verification: after every attempt, whatever became of it, the guest is
read and planned anew. Nothing left to do means done; anything else is done too if it is not graver than what was
approved. So a lost answer, a lock, a change by somebody else and a crash of an earlier run all take the same way.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial

from innkeeper.engine.errors import Conflict, EngineError, Stalled, Uncertain, Waiting
from innkeeper.engine.images import Images
from innkeeper.engine.interior import Interior, Place
from innkeeper.engine.ports import Event, Hypervisor, Listener, Scope
from innkeeper.engine.result import StepResult
from innkeeper.model.objects import Cluster, Guest, Ref
from innkeeper.model.observed import UNFINISHED, ClusterView, ObservedGuest
from innkeeper.model.plan import IMPACTS, Operation, Step
from innkeeper.planner import calls
from innkeeper.planner.build import decide_again
from innkeeper.planner.decide import Decision, protection
from innkeeper.planner.pair import MAKING, Ours, pair, true_marker
from innkeeper.planner.place import Room
from innkeeper.planner.policy import NOTHING, Insights, Policy

ROUNDS = 6
"""Attempts at one step, waiting for locks not counted."""
_DESTROY = frozenset({"stop", "delete"})


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster during an execution. `room` knows the promised vmids; `others` are all that is declared."""

    hypervisor: Hypervisor
    cluster: Cluster
    view: ClusterView
    policy: Policy
    room: Room
    others: Collection[Ref]
    patience: float
    """Seconds to wait for locks and other people's tasks, in all, for one step."""
    insights: Insights = NOTHING
    interior: Interior | None = None
    images: Images = field(default_factory=Images)


class Stopped(Exception):
    """The person asked to stop; raised between two calls only."""


@dataclass(slots=True)
class Work:
    """One step while it runs."""

    site: Site
    guest: Guest | None
    """None for a guest that is declared no more."""
    step: Step
    listener: Listener
    stop: Callable[[], bool]
    wrote: list[str] = field(default_factory=list)
    deadline: float = 0.0

    async def run(self) -> StepResult:
        self.deadline = self._now() + self.site.patience
        try:
            if self.step.action == "delete":
                waits = await self._delete()
            else:
                waits = await self._reach() if self.site.policy.provision else ""
            if self.step.configure:
                await self._configure()
        except Stopped:
            return self._stopped()
        except EngineError as error:
            self._tell("failed", str(error))
            return StepResult(self.step, "failed", str(error), cause=type(error).__name__)
        self._tell("done")
        return StepResult(self.step, "done", waits=waits)

    async def _reach(self) -> str:
        """Attempt after attempt until the guest is as declared; returns what waits for a restart."""
        current, approved = self.step, self.step
        rounds = 0
        while True:
            if self.stop():
                raise Stopped
            trouble = await self._attempt(current)
            if not isinstance(trouble, Waiting):
                rounds += 1
            elif self._now() > self.deadline:
                raise trouble
            self._tell("verifying" if trouble is None else "waiting", "" if trouble is None else trouble.message)
            following = await self._look(current, trouble)
            if isinstance(following, str):
                if current.vmid != self.step.vmid:
                    self.step = replace(self.step, vmid=current.vmid, node=current.node)
                return following
            if trouble is None:
                _progress(current, following)
            _bound(approved, following)
            if rounds >= ROUNDS:
                raise trouble or Conflict(f"{approved.ref} is still not as declared after {rounds} attempts")
            current = following

    async def _configure(self) -> None:
        """Run the guest's roles, and note on it what was run once all went well: a failure is tried again next time.

        A guest that was configured before is marked while it is being changed: half of a configuration is none.
        """
        site, ref = self.site, self.step.ref
        assert site.interior is not None
        if self.stop():
            raise Stopped
        seen = await self._ours_now()
        if seen.power != "running":
            raise Stalled(f"{ref} does not run, so that it cannot be configured", "start it: running: true")
        self._tell("configuring")
        self.wrote.append("configuring")
        if seen.marker and seen.marker.configured:
            await self._note(UNFINISHED)
        place = Place(site.cluster, site.hypervisor)
        await site.interior.configure(place, seen, ref, lambda line: self._tell("configuring", line))
        await self._note(self.step.configure)

    async def _note(self, configured: str) -> None:
        """Write into the guest's marker what is applied inside it."""
        for _ in range(ROUNDS):
            seen = await self._ours_now()
            assert seen.marker is not None
            if seen.marker.configured == configured:
                return
            try:
                operation = calls.remember(seen, replace(seen.marker, configured=configured))
                await self._call(self.step, operation, seen.digest)
                return
            except (Conflict, Uncertain, Waiting) as error:
                await self._rest(error)
        raise Conflict(
            f"what is configured in {self.step.ref} could not be noted on it", "The next run configures it again."
        )

    async def _ours_now(self) -> ObservedGuest:
        seen = await self._see(replace(self.step, former=None))
        if seen is None or not self._marked(seen):
            raise Conflict(f"guest {self.step.vmid} is not {self.step.ref} any more", "Plan again.")
        return seen

    async def _attempt(self, step: Step) -> EngineError | None:
        """Make the step's calls; returns what a new look may mend."""
        try:
            if step.former is not None:
                await self._still_ours(step.former)
            if step.action in ("create", "replace") and self.site.interior is not None:
                self.site.interior.insider.forget(self.site.cluster.name, step.vmid)
            await self._calls(step)
        except (Conflict, Uncertain) as error:
            return error
        except Waiting as error:
            await self._rest(error)
            return error
        return None

    async def _calls(self, step: Step) -> None:
        digest = step.digest
        written = False
        for operation in step.operations:
            if operation.derived:
                return
            if self.stop():
                raise Stopped
            if operation.guarded and (written or not digest):
                seen = await self.site.hypervisor.guest(step.vmid)
                if seen is None:
                    raise Conflict(f"guest {step.vmid} is gone")
                digest = seen.digest
            await self._call(step, operation, digest if operation.guarded else "")
            written = True

    async def _call(self, step: Step, operation: Operation, digest: str) -> None:
        self._tell(operation.phase)
        # Noted before the call: an answer may be lost, its effect not.
        self.wrote.append(operation.phase)
        hypervisor, log = self.site.hypervisor, partial(self._tell, operation.phase)
        if operation.phase == calls.PROVIDE:
            await self.site.images.provide(hypervisor, operation, log)
        else:
            await hypervisor.call(operation, digest, log)

    async def _look(self, step: Step, trouble: EngineError | None) -> Step | str:
        """Look until there is something to see: nothing is repeated before."""
        while True:
            try:
                return await self._left(step, trouble)
            except (Waiting, Uncertain) as error:
                if self._now() > self.deadline:
                    raise
                self._tell("waiting", error.message)
                await self._rest(error)

    async def _left(self, step: Step, trouble: EngineError | None) -> Step | str:
        """What is left to do: a step, or nothing (a string that tells what waits for a restart)."""
        assert self.guest is not None
        seen = await self._see(step)
        if seen is None and step.action in ("create", "replace"):
            return await self._make_again(step, trouble)
        if step.action == "adopt" and seen is not None and self._marked(seen):
            return ""
        if isinstance(trouble, Conflict) and step.action == "create" and seen is not None and not self._marked(seen):
            decision = await self._decide_anew(step)
        else:
            decision = self._decide(seen)
        if decision.step is None:
            reasons = [finding for finding in decision.diagnostics if finding.severity != "info"]
            summary = "; ".join(f"{finding.summary}. {finding.detail}".strip() for finding in reasons)
            raise Stalled(summary or f"{step.ref} cannot be decided")
        if decision.step.action == "noop":
            waiting = decision.difference.waiting if decision.difference else ()
            return ", ".join(change.field for change in waiting)
        return decision.step

    async def _see(self, step: Step) -> ObservedGuest | None:
        """The guest as it is once no task runs on it any more; of a replacement, the old one while it is there."""
        for vmid in dict.fromkeys((step.former, step.vmid)):
            if vmid is None:
                continue
            await self.site.hypervisor.settle(vmid, lambda line: self._tell("waiting", line), self.site.patience)
            seen = await self.site.hypervisor.guest(vmid)
            if seen is None:
                continue
            if seen.config is None or seen.lock in MAKING:
                raise Waiting(f"guest {vmid} cannot be read now", seen.unreadable or "It is still being created.")
            return seen
        return None

    async def _make_again(self, step: Step, trouble: EngineError | None) -> Step:
        """The guest is proved to be absent: make it, under the vmid that was promised to it."""
        if trouble is None and step.action == "create":
            raise Conflict(f"{step.ref} was created as {step.vmid} and is gone", "Somebody deleted it; plan again.")
        if isinstance(trouble, Conflict) and step.action == "create":
            decision = await self._decide_anew(step)
            if decision.step is not None:
                return decision.step
        left = tuple(item for item in step.operations if item.phase not in _DESTROY)
        return replace(step, action="create", former=None, operations=left, digest="")

    def _decide(self, seen: ObservedGuest | None) -> Decision:
        site = self.site
        assert self.guest is not None
        return decide_again(
            self.guest, seen, site.cluster, site.view, site.policy, site.room, site.others, site.insights
        )

    async def _decide_anew(self, step: Step) -> Decision:
        """Somebody took the vmid: look whether the guest exists elsewhere by now, else choose another vmid."""
        site = self.site
        assert self.guest is not None
        view = await site.hypervisor.observe(Scope(catalog=True, everything=True))
        site.room.taken.update(view.guests)
        outcome = pair([self.guest], view, site.policy.source, site.policy.take_over, site.others)[self.guest.ref]
        seen = outcome.observed if isinstance(outcome, Ours) else view.guests.get(step.vmid)
        return self._decide(seen)

    def _marked(self, seen: ObservedGuest) -> bool:
        marker, ref = true_marker(seen), self.step.ref
        return marker is not None and (marker.source, marker.kind, marker.name) == (
            self.site.policy.source,
            ref.kind,
            ref.name,
        )

    async def _still_ours(self, vmid: int) -> ObservedGuest | None:
        """Read the guest right before it is destroyed: it must be ours still, and not protected."""
        seen = await self.site.hypervisor.guest(vmid)
        if seen is None:
            return None
        if seen.config is None:
            raise Waiting(f"the configuration of guest {vmid} cannot be read now", seen.unreadable)
        if not self._marked(seen):
            raise Stalled(f"guest {vmid} does not carry the marker of {self.step.ref} any more", "It is left alone.")
        if reason := protection(seen):
            raise Stalled(f"guest {vmid} is protected: {reason}", "It is left alone.")
        return seen

    async def _delete(self) -> str:
        trouble: EngineError | None = None
        rounds = 0
        while True:
            try:
                seen = await self._still_ours(self.step.vmid)
                if seen is None:
                    return ""
                if rounds >= ROUNDS:
                    raise trouble or Stalled(f"guest {seen.vmid} was deleted and is still there")
                rounds += 1
                await self._calls(replace(self.step, operations=calls.delete(seen)))
                trouble = None
            except (Waiting, Conflict, Uncertain) as error:
                if self._now() > self.deadline or rounds >= ROUNDS:
                    raise
                trouble = error
                self._tell("waiting", error.message)
                await self._rest(error)
            await self.site.hypervisor.settle(
                self.step.vmid, lambda line: self._tell("waiting", line), self.site.patience
            )

    async def _rest(self, error: EngineError) -> None:
        """Wait before the next look, unless the person wants to stop."""
        if self.stop():
            raise Stopped
        after = error.after if isinstance(error, Waiting) else 0.2
        await asyncio.sleep(max(0.0, min(after, self.deadline - self._now())))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _stopped(self) -> StepResult:
        if not self.wrote:
            self._tell("skipped", "stopped before it began")
            return StepResult(self.step, "skipped", "stopped before it began")
        error = f"stopped after {', '.join(dict.fromkeys(self.wrote))}; the next run goes on from there"
        self._tell("failed", error)
        return StepResult(self.step, "failed", error)

    def _tell(self, phase: str, message: str = "") -> None:
        self.listener(Event(self.step.ref, self.step, phase, message))


def _progress(before: Step, after: Step) -> None:
    """A call that was accepted without effect would be repeated for ever: say so instead."""
    fields = {change.field for change in after.changes}
    if before.action == after.action and fields and fields == {change.field for change in before.changes}:
        shown = ", ".join(f"{change.field} is {change.before}, not {change.after}" for change in after.changes)
        raise Stalled(f"Proxmox accepted the change of {after.ref}, and it does not show: {shown}")


_FOLLOWS = {
    "create": ("create", "update"),
    "replace": ("replace", "create", "update"),
    "update": ("update",),
    "adopt": ("adopt",),
}


def _bound(approved: Step, step: Step) -> None:
    """Nothing is done that is graver than what was approved."""
    if step.refused:
        raise Stalled(f"{step.ref} changed meanwhile: {step.refused}", "Plan again.")
    makes = approved.action in ("create", "replace") and step.action != "replace"
    allowed = max(IMPACTS.index(approved.impact), IMPACTS.index("live") if makes else 0)
    if step.action not in _FOLLOWS[approved.action] or IMPACTS.index(step.impact) > allowed:
        fields = ", ".join(change.field for change in step.changes)
        raise Conflict(
            f"{step.ref} changed meanwhile: now it takes {step.action} ({step.impact}) of {fields or 'its marker'}",
            "Look at a new plan.",
        )
