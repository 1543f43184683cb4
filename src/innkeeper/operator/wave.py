"""One look at a cluster for all of its machines that want work: what each needs, decided, recorded, and then done.

The order is what makes a crash harmless. The plan is made; the vmid of every machine that is to be created is written
into its object, with our finalizer; then the same plan is made again with those vmids, on the same observation, and is
carried out. Whoever comes next finds the vmid in the object and our marker on the guest. Keys that new guests accept
are in the operator's Secret before.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from innkeeper.engine.errors import EngineError, NotLetIn, Stalled, Waiting
from innkeeper.engine.reconcile import Prepared, plan_again, prepare
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.inside import CheckResult
from innkeeper.model.objects import Declared, Guest, Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Plan, Step
from innkeeper.model.vitistack import FINALIZER, Phase
from innkeeper.operator import placing, reports
from innkeeper.operator.access import Access
from innkeeper.operator.board import Board
from innkeeper.operator.inside import Inside, places, worked_in
from innkeeper.operator.objects import DELETION, RESOURCES, VMID, Key, Object
from innkeeper.operator.reports import Report
from innkeeper.operator.secrets import Place as SecretPlace
from innkeeper.operator.wanted import guest_of, recorded, ref_of
from innkeeper.operator.writer import Writer
from innkeeper.planner import calls
from innkeeper.planner.creation import needs_of
from innkeeper.planner.decide import Decision, protection
from innkeeper.planner.pair import MAKING, Blocked, Ours, true_marker
from innkeeper.planner.policy import Policy, Unreachable

_AT_ONCE = 8
_OTHERS = frozenset({"NotOurs", "OwnershipConflict", "KindConflict"})


@dataclass(frozen=True, slots=True)
class Kept:
    """A guest that is as it was declared; `waits` are fields that are in effect only after a restart."""

    guest: Guest
    seen: ObservedGuest
    waits: str = ""

    @property
    def running(self) -> bool:
        return self.seen.power == "running"

    @property
    def checked(self) -> bool:
        """Whether only its checks tell how it is."""
        return bool(self.guest.spec.health) and self.running

    def report(self, checks: tuple[CheckResult, ...] = (), addresses: tuple[str, ...] | None = None) -> Report:
        configure = self.guest.spec.configure
        return reports.exists(
            self.seen.vmid,
            self.seen.node,
            running=self.running,
            waits=self.waits,
            addresses=addresses,
            roles=tuple(call.role for call in configure.roles) if configure is not None else (),
            checks=checks,
        )


@dataclass(slots=True)
class Wave:
    """What is to be done (`prepared`), what is told without doing anything, and what wants another look."""

    prepared: Prepared
    keys: Mapping[Ref, Key]
    reports: dict[Key, Report] = field(default_factory=dict)
    same: dict[Key, Kept] = field(default_factory=dict)
    """Guests that are as they should be."""
    again: set[Key] = field(default_factory=set)
    gone: set[Key] = field(default_factory=set)
    """Objects that are being deleted and have no machine (any more)."""
    orphans: dict[Key, ObservedGuest] = field(default_factory=dict)
    """Machines that outlive their object, because it says so."""
    guarded: dict[Key, ObservedGuest] = field(default_factory=dict)
    """Machines whose protection we set ourselves, and nobody asks for any more."""

    @property
    def view(self) -> ClusterView:
        view = next(iter(self.prepared.views.values()))
        assert isinstance(view, ClusterView)
        return view


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes waves for one cluster. `source` is whose the guests are; `inside` works in them."""

    cluster: Key
    board: Board
    writer: Writer
    source: str
    inside: Inside
    known: dict[Key, tuple[object, Guest | Report]] = field(default_factory=dict)
    """What was asked for when it was last converted, and from what: a wave converts only what changed."""

    async def plan(self, keys: Collection[Key], access: Access) -> Wave:
        """The wave of these machines. Raises the engine's error where the cluster cannot be seen."""
        wanted, told = self._wanted(access)
        inside = {key: guest for key in keys if (guest := wanted.get(ref_of(key))) is not None and worked_in(guest)}
        problem = await self.inside.ready(inside.values())
        chosen = frozenset(str(ref_of(key)) for key in keys)
        policy = Policy(self.source, only=chosen or frozenset({""}))
        declared = Declared((access.cluster,), (), tuple(wanted.values()))
        hypervisors = {access.cluster.name: access.hypervisor}
        insider = self.inside.insider if inside and problem is None else None
        prepared = await prepare(declared, hypervisors, policy, insider=insider)
        if insider is not None:
            problem = await self.inside.save()
        seen = prepared.views[access.cluster.name]
        if isinstance(seen, Unreachable):
            kind = {"NotLetIn": NotLetIn, "Stalled": Stalled}.get(seen.cause, Waiting)
            raise kind(seen.message, seen.advice)
        wave = Wave(prepared, {ref_of(key): key for key in keys})
        wave.reports = {key: report for key, report in told.items() if key in keys}
        todo: dict[Ref, Decision] = {}
        if problem is not None:
            wave.reports |= dict.fromkeys(inside, problem)
            wave.again |= inside.keys()
        for decision in prepared.decisions:
            if problem is None or wave.keys[decision.guest.ref] not in inside:
                await self._sort(decision, wave, todo)
        self._hold(todo, wave)
        made = {ref: decision for ref, decision in todo.items() if decision.step and decision.step.action == "create"}
        promised = await self._promise(made, wave, access)
        await self._bind(todo, wave)
        wave.prepared = self._final(wave, [ref for ref in todo if ref not in made], promised, access)
        self._leave(keys, wave)
        return wave

    def named(self) -> set[SecretPlace]:
        """The Secrets that the roles of this cluster's guests name."""
        guests = (self.known.get(item.key, (None, None))[1] for item in self.board.machines(self.cluster))
        return places(guest for guest in guests if isinstance(guest, Guest))

    def _wanted(self, access: Access) -> tuple[dict[Ref, Guest], dict[Key, Report]]:
        """The guests of all machines of the cluster, and what is wrong with the others."""
        wanted: dict[Ref, Guest] = {}
        told: dict[Key, Report] = {}
        holders: dict[int, Key] = {}
        for item in self.board.machines(self.cluster):
            if item.deleting:
                continue
            guest = self._converted(item, access)
            if self.board.moved(item):
                word = "spec.cluster" if item.key.native else "its label"
                said = f"{word} names another cluster than the one that it was made on"
                guest = reports.problem("ClusterChanged", f"{said}: set it back, or make a new object")
            elif circle := self.board.circle(item):
                said = " needs ".join(key.told for key in circle)
                guest = reports.problem("NeedsCycle", f"it needs itself: {said}")
            elif isinstance(guest, Guest):
                guest = placing.forbidden(guest, access.allowed) or guest
            if isinstance(guest, Guest) and guest.spec.vmid is not None:
                holder = holders.setdefault(guest.spec.vmid, item.key)
                if holder != item.key:
                    kind = RESOURCES[holder.plural][1]
                    said = f"vmid {guest.spec.vmid} belongs to {kind} {holder.namespace}/{holder.name}"
                    guest = reports.problem("OwnershipConflict", f"{said}: choose another, or leave spec.vmid out")
            if isinstance(guest, Guest):
                wanted[guest.ref] = guest
            else:
                told[item.key] = guest
        return wanted, told

    def _converted(self, item: Object, access: Access) -> Guest | Report:
        profiles = self.board.profiles(item.key.namespace) if item.key.native else ()
        stamp = (item.fingerprint, access.digest, [profile.version for profile in profiles])
        before, guest = self.known.get(item.key, (None, None))
        if guest is None or before != stamp:
            guest = guest_of(item, access.cluster, profiles, self.board.needs(item))
            self.known[item.key] = stamp, guest
        return guest

    async def _sort(self, decision: Decision, wave: Wave, todo: dict[Ref, Decision]) -> None:
        key, outcome, step = wave.keys[decision.guest.ref], decision.outcome, decision.step
        if isinstance(outcome, Ours) and outcome.renamed:
            said = f"vmid {outcome.observed.vmid} belongs to {outcome.renamed}"
            wave.reports[key] = reports.problem("OwnershipConflict", f"{said}; nothing is taken from another Machine")
            await self._another_vmid(key, wave)
        elif isinstance(outcome, Blocked):
            wave.reports[key] = reports.of_findings(decision.diagnostics, "Pending" if outcome.passing else "Error")
            if outcome.passing:
                wave.again.add(key)
            elif outcome.code in _OTHERS and outcome.field == "spec.vmid":
                await self._another_vmid(key, wave)
        elif step is None:
            wave.reports[key] = reports.of_findings(decision.diagnostics)
        elif decision.unprepared:
            wave.reports[key] = reports.of_findings(_about(key, wave.prepared.plan))
            wave.again.add(key)
        elif step.refused:
            wave.reports[key] = _refusal(decision, step, wave.prepared)
            if decision.guest.ref in wave.prepared.insights.refused:
                wave.again.add(key)
        elif step.action == "noop" and decision.observed is not None:
            waits = decision.difference.waiting if decision.difference else ()
            wave.same[key] = kept = Kept(decision.guest, decision.observed, ", ".join(change.field for change in waits))
            if not kept.checked:
                wave.reports[key] = kept.report()
        else:
            todo[decision.guest.ref] = decision

    async def _another_vmid(self, key: Key, wave: Wave) -> None:
        """A promised vmid that somebody else took in the meantime is given up; one that a person set is theirs."""
        item = self.board.get(key)
        if item is not None and item.spec.get("vmid") is None and recorded(item.annotations) is not None:
            with contextlib.suppress(EngineError):  # the next look does it
                await self.writer.annotate(item, {VMID: None})
            wave.again.add(key)

    def _hold(self, todo: dict[Ref, Decision], wave: Wave) -> None:
        """What needs a guest that is not there yet waits; what is done in this wave, the engine does in order."""
        held = True
        while held:
            held = False
            for ref, decision in list(todo.items()):
                missing = next((need for need in needs_of(decision.guest) if self._missing(need, todo)), None)
                if missing is None:
                    continue
                held = True
                del todo[ref]
                key = wave.keys[ref]
                phase: Phase | None = "Pending" if decision.observed is None else None
                said = f"{self._missing(missing, todo)} first"
                wave.reports[key] = reports.problem("WaitingForNeeds", said, phase)
                wave.again.add(key)

    def _missing(self, need: Ref, todo: Mapping[Ref, Decision]) -> str:
        """Why a guest that is needed does not count as there; empty where it does."""
        if need in todo:
            return ""
        namespace, plural, name = need.name.split("/")
        item = self.board.get(Key(plural, namespace, name))
        told = f"{need.kind} {namespace}/{name}"
        if item is None or item.deleting:
            return f"it needs {told}, which {'is being deleted' if item else 'does not exist'}: create it"
        return "" if reports.settled(item) else f"it needs {told}, which is not as declared yet: that comes"

    async def _promise(self, made: Mapping[Ref, Decision], wave: Wave, access: Access) -> dict[Ref, Guest]:
        """Node and vmid for every machine that is to be made, recorded in its object."""
        taken = {*wave.view.guests, *self.board.promised()}
        allowed = replace(access.allowed, machines=self.board.limits(self.cluster))
        ground = placing.Ground(access.cluster, wave.view, allowed, taken, placing.machines(wave.view))
        places = asyncio.Semaphore(_AT_ONCE)
        found: dict[Ref, Guest] = {}

        async def record(item: Object, guest: Guest, node: str, vmid: int) -> None:
            async with places:
                try:
                    if FINALIZER not in item.finalizers or recorded(item.annotations) != guest.spec.vmid:
                        item = await self.writer.promise(item, None if item.spec.get("vmid") else vmid, self.cluster)
                    await self.writer.tell(item.key, reports.creating(vmid, node))
                except EngineError:
                    wave.again.add(item.key)
                    return
            spec = guest.spec.model_copy(update={"node": node, "vmid": vmid})
            found[guest.ref] = replace(guest, spec=spec)

        async with asyncio.TaskGroup() as group:
            for ref, decision in made.items():
                key = wave.keys[ref]
                item = self.board.get(key)
                node = placing.choose(decision.guest, ground)
                vmid = decision.guest.spec.vmid or ground.vmid()
                if item is None:
                    continue
                if isinstance(node, Report) or vmid is None:
                    pool = access.cluster.spec.vmids
                    none = reports.problem("NoFreeVmid", f"no vmid from {pool.first} to {pool.last} is free")
                    wave.reports[key] = node if isinstance(node, Report) else none
                    wave.again.add(key)
                else:
                    group.create_task(record(item, decision.guest, node, vmid))
        return found

    async def _bind(self, todo: dict[Ref, Decision], wave: Wave) -> None:
        """Machines that exist: from now on their objects cannot go without us either."""
        for key in [*wave.same, *(wave.keys[ref] for ref in todo)]:
            item = self.board.get(key)
            if item is not None and FINALIZER not in item.finalizers:
                try:
                    await self.writer.promise(item, None, self.cluster)
                except EngineError:
                    wave.again.add(key)
                    todo.pop(ref_of(key), None)

    def _final(self, wave: Wave, changed: Sequence[Ref], promised: Mapping[Ref, Guest], access: Access) -> Prepared:
        """The plan with the promises in it, on what was seen already; only steps that are to run are in it."""
        prepared = wave.prepared
        if promised:
            guests = tuple(promised.get(guest.ref, guest) for guest in prepared.declared.guests)
            prepared = plan_again(prepared, replace(prepared.declared, guests=guests))
            for decision in prepared.decisions:
                if decision.guest.ref in promised and decision.step is None:
                    wave.reports[wave.keys[decision.guest.ref]] = reports.of_findings(decision.diagnostics)
        going = {*changed, *promised}
        todo = {item.guest.ref: item for item in prepared.decisions if item.guest.ref in going}
        self._hold(todo, wave)
        going &= todo.keys()
        steps = tuple(step for step in prepared.plan.steps if step.ref in going and step.acts and not step.refused)
        return replace(prepared, plan=replace(prepared.plan, steps=steps))

    def _leave(self, keys: Collection[Key], wave: Wave) -> None:
        """What is deleted: the machine first where it is ours, then the object."""
        steps: list[Step] = []
        for key in keys:
            item = self.board.get(key)
            if item is None or not item.deleting:
                continue
            seen = self._guest_of(key, wave.view)
            vmid = recorded(item.annotations)
            half = wave.view.guests.get(vmid) if vmid is not None else None
            if FINALIZER not in item.finalizers:
                wave.gone.add(key)
            elif seen is None and half is not None and half.lock in MAKING:
                wave.reports[key] = reports.problem("Deleting", f"machine {vmid} is still being created", None)
                wave.again.add(key)
            elif seen is None and not wave.view.complete:
                gaps = " ".join(wave.view.gaps)
                said = f"not every guest of the cluster can be seen, so that nobody knows whether it is gone: {gaps}"
                wave.reports[key] = reports.problem("ViewIncomplete", said, None)
                wave.again.add(key)
            elif seen is None:
                wave.gone.add(key)
            elif item.annotations.get(DELETION) == "orphan":
                wave.orphans[key] = seen
            elif reason := _protected(item, seen):
                advice = f"take it away, or let the machine stay: annotate {DELETION}=orphan"
                wave.reports[key] = reports.problem(
                    "Protected", f"machine {seen.vmid} is protected: {reason}; {advice}"
                )
            elif protection(seen):
                wave.guarded[key] = seen
            else:
                self.known.pop(key, None)
                steps.append(_deletion(ref_of(key), wave.prepared.declared.clusters[0].name, seen))
        policy = replace(wave.prepared.policy, prune=bool(steps), max_deletes=len(steps))
        plan: Plan = replace(wave.prepared.plan, steps=(*wave.prepared.plan.steps, *steps))
        wave.prepared = replace(wave.prepared, policy=policy, plan=plan)

    def _guest_of(self, key: Key, view: ClusterView) -> ObservedGuest | None:
        ref = ref_of(key)
        for seen in view.guests.values():
            marker = true_marker(seen)
            if marker and (marker.source, marker.kind, marker.name) == (self.source, ref.kind, ref.name):
                return seen
        return None


def _about(key: Key, plan: Plan) -> list[Diagnostic]:
    """What was found out about one object's guest: its place is the object."""
    return [found for found in plan.diagnostics if found.location is not None and found.location.file == str(key)]


def _refusal(decision: Decision, step: Step, prepared: Prepared) -> Report:
    if (reason := prepared.insights.refused.get(decision.guest.ref)) is not None:
        return reports.problem("AddressInUse", f"{reason}: give it another one")
    if decision.diagnostics:
        return reports.of_findings(decision.diagnostics)
    return reports.problem("Refused", step.refused)


def _protected(item: Object, seen: ObservedGuest) -> str:
    """Proxmox's own flag counts only while the object asks for it: what we set, we may take away."""
    if any(tag.casefold() == "protected" for tag in seen.tags):
        return "it has the tag protected"
    flag = (seen.config or {}).get("protection") == "1"
    wanted = item.spec.get("protected") if item.key.native else item.spec.get("protection")
    return protection(seen) if flag and wanted else ""


def _deletion(ref: Ref, cluster: str, seen: ObservedGuest) -> Step:
    return Step(
        "delete",
        ref,
        cluster,
        seen.node,
        seen.vmid,
        "data-loss",
        reason="its object is deleted",
        operations=calls.delete(seen),
        digest=seen.digest,
    )
