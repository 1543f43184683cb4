"""A sync: what a revision declares becomes what guests are, as far as nobody has to be asked.

Fetch and render come first, and a failure of theirs changes nothing. What is grave waits for a person; the rest goes at
once. Every run looks anew, so that it does not matter where the one before it ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from innkeeper.control import branches, grafting, notices, offering, operating, publishing, recording
from innkeeper.control.approval import Wish, bold, grave, harmless
from innkeeper.control.blaming import blamed
from innkeeper.control.comment import summary
from innkeeper.control.errors import Denied
from innkeeper.control.locating import located
from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import Commit, Link
from innkeeper.control.rendered import Rendered
from innkeeper.control.rendering import leaving, render, repository_path
from innkeeper.control.requests import request
from innkeeper.control.running import SUSPENDED, Outcome, Run, suspended
from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Stalled
from innkeeper.engine.inside import Insider
from innkeeper.engine.reconcile import Prepared, carry_out, gate, prepare
from innkeeper.engine.result import Result
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.jobs import Job, Request
from innkeeper.model.objects import Declared, Ref
from innkeeper.model.observed import ClusterView
from innkeeper.model.plan import Json, Plan, Step
from innkeeper.model.records import Drift, GuestRecord, Revision
from innkeeper.model.sources import Source
from innkeeper.planner.pair import Blocked
from innkeeper.planner.policy import Policy, Unreachable, named

PATIENCE = 120.0
"""Seconds that one step waits for locks and other people's tasks."""
SHORT = 12
_FOR_A_PERSON = frozenset({Stalled.__name__, NotLetIn.__name__})
MOST = 1_000_000


async def sync(run: Run) -> Outcome:
    house, job = run.house, run.job
    source = house.source(job.request.source)
    record = await house.store.source(source.name)
    if await suspended(run, source):
        return SUSPENDED
    revision = await _revision(run, source, record.pinned)
    outcome = await _reach(run, source, revision, await grafting.inside(house, source, revision))
    if outcome.state == "succeeded" and not job.request.only:
        await _synced(run, source, revision)
    await publishing.publish(house, run.say)
    return outcome


async def rollback(run: Run) -> Outcome:
    """Shown as a plan first, then carried out; the source stays at that revision until it is released."""
    house, job = run.house, run.job
    source, branch = house.source(job.request.source), str(job.request.payload.get("branch", ""))
    if await suspended(run, source):
        return SUSPENDED
    if branch:
        await fetched(run, source)  # a release that was there before is held, one that comes after is not
    revision = await branches.asked(run, source, branch) if branch else str(job.request.payload["to"])
    if not revision:
        return branches.DONE
    outcome = await _reach(run, source, revision, ask=True)
    if outcome.state in ("succeeded", "waiting") and branch:
        await branches.done(house, source, branch, revision)
    if outcome.state == "succeeded":
        await branches.hold(house, source, revision, by_branch=bool(branch))
        released = f" or branch {source.spec.branch} moves" if branch else ""
        run.say(f"held at {revision[:SHORT]} until it is released{released}: innkeeper release {source.name}")
        house.bus.tell("source", {"name": source.name})
        if outcome.result.get("restored"):
            wish = Request("sync", source.name, trigger=job.request.trigger, actor=job.request.actor)
            return replace(outcome, result={**outcome.result, "job": (await request(house, wish)).id})
        await _synced(run, source, revision)
    await publishing.publish(house, run.say)
    return outcome


async def configure(run: Run) -> Outcome:
    """What runs in the guests becomes what a branch has; the guests themselves stay as they were released."""
    house, job = run.house, run.job
    source, branch = house.source(job.request.source), str(job.request.payload["branch"])
    if await suspended(run, source):
        return SUSPENDED
    if not (within := await branches.asked(run, source, branch)):
        return branches.DONE
    record = await house.store.source(source.name)
    released = record.pinned or record.synced
    if not released:
        return Outcome("succeeded", f"nothing is released yet: push branch {source.spec.branch}", revision=within)
    outcome = replace(await _reach(run, source, released, within), revision=within)
    if outcome.state in ("succeeded", "waiting"):
        await branches.done(house, source, branch, within)
    if outcome.state == "succeeded":
        await grafting.configured(house, source, released, within)
    await publishing.publish(house, run.say)
    return outcome


async def _revision(run: Run, source: Source, pinned: str) -> str:
    """The commit to work on: the approved one, the one that was asked for, the pinned one, else the newest."""
    house, job = run.house, run.job
    if job.approved_by and job.revision:
        return job.revision
    if job.request.revision:
        return await house.repository(source.name).resolve(job.request.revision)
    newest = await fetched(run, source)
    if not job.request.only:
        await operating.asked_for(run, source)
    if await branches.let_go(house, source, newest.revision):
        pinned = ""
    if pinned:
        run.say(
            f"held at {pinned[:SHORT]} since a rollback, until it is released; the newest is {newest.revision[:SHORT]}"
        )
    return pinned or newest.revision


async def fetched(run: Run, source: Source) -> Commit:
    """The newest commit; what went wrong is kept with the source."""
    house = run.house
    try:
        commit = await house.repository(source.name).fetch()
    except EngineError as error:
        await house.store.put_source(source.name, error=str(error))
        await notices.unread(house, source.name, str(error))
        raise
    await house.store.put_source(source.name, seen=commit.revision, fetched_at=house.now(), error="")
    run.say(f"{commit.revision[:SHORT]} {commit.subject} ({commit.author})", phase="fetch")
    return commit


@dataclass(frozen=True, slots=True)
class Scene:
    """One source at one revision, with the ways to its clusters while a job has them."""

    run: Run
    source: Source
    rendered: Rendered
    declared: Declared
    left: tuple[Drift, ...]
    """Drift that is left alone until a date."""
    policy: Policy
    links: Mapping[str, Link | Unreachable]
    insider: Insider | None
    former: Mapping[Ref, GuestRecord]
    back: tuple[operating.Back, ...] = ()
    """Guests that a rollback takes back to a snapshot."""

    def where(self, place: Location) -> tuple[str, int]:
        return repository_path(place.file, self.rendered.place, self.source), place.line

    async def prepare(self, policy: Policy, *, health: bool = False) -> Prepared:
        prepared = await prepare(self.declared, self.links, policy, self.run.say, insider=self.insider, health=health)
        findings = (*self.rendered.loaded.diagnostics, *prepared.plan.diagnostics)
        return replace(prepared, plan=replace(prepared.plan, diagnostics=findings))

    def shown(self, prepared: Prepared) -> dict[str, Json]:
        return recording.shown(prepared.plan, prepared, self.where)


async def _reach(run: Run, source: Source, revision: str, within: str = "", *, ask: bool = False) -> Outcome:
    """`within`: the revision that says what runs in the guests. `ask`: whatever it is, a person looks first."""
    house, job = run.house, run.job
    shown = within if job.request.type == "configure" else revision
    await house.store.update_job(job.id, ("running",), revision=shown)
    rendered = await render(house, source, revision, within)
    await offering.keep_profiles(house, source.name, rendered.loaded.declared.profiles)
    former = await records_of(run, source.name)
    if rendered.empty and not former:
        return Outcome("succeeded", "nothing is declared yet", revision=revision)
    if not rendered.loaded.ok:
        return await refused(run, source, revision, rendered.loaded.diagnostics)
    ignored = await house.store.drifts(source=source.name)
    declared, left = leaving(rendered.loaded.declared, ignored, former, house.now())
    policy = _policy(job, source, revision)
    if stray := [name for name in policy.only if not any(named(guest.ref, (name,)) for guest in declared.guests)]:
        raise Denied(f"source {source.name} declares no guest {', '.join(stray)} at {revision[:SHORT]}")
    names = [cluster.name for cluster in declared.clusters]
    async with (
        house.links.connected(declared.clusters) as links,
        house.insides(declared) as insider,
        house.queue.cluster(names),
    ):
        back = await operating.kept(run, links, former.values(), revision) if ask and _by_branch(job) else ()
        scene = Scene(run, source, rendered, declared, left, policy, links, insider, former, back)
        outcome = await _gated(scene, ask=ask)
    return replace(outcome, revision=revision)


def _policy(job: Job, source: Source, revision: str) -> Policy:
    spec, configure = source.spec, job.request.payload.get("configure", "changed")
    machines = job.request.type != "configure"
    return Policy(
        source=source.name,
        revision=revision[:SHORT],
        provision=machines,
        prune=spec.prune and machines,
        max_deletes=spec.max_deletes,
        only=frozenset(job.request.only),
        configure=configure if configure in ("always", "never") else "changed",  # type: ignore[arg-type]
    )


def _by_branch(job: Job) -> bool:
    return "branch" in job.request.payload


async def refused(run: Run, source: Source, revision: str, found: Sequence[Diagnostic]) -> Outcome:
    """Manifests with errors: each is said, and nothing is touched."""
    errors = [item for item in found if item.severity == "error"]
    for item in errors:
        run.say(f"{item.location or ''}: {item.summary}. {item.detail}".strip(": "), "error")
    first = f"{errors[0].location or source.name}: {errors[0].summary}" if errors else "nothing is declared"
    text = f"{len(errors)} errors in the manifests; the first: {first}" if len(errors) > 1 else first
    await run.house.store.put_source(source.name, error=text)
    body: dict[str, Json] = {"diagnostics": [recording.plain(item.to_json()) for item in found]}
    said = f"{text}. Nothing was changed."
    return Outcome("failed", text, said, "Stalled", body, revision=revision, stalled=True)


async def _gated(scene: Scene, *, ask: bool) -> Outcome:
    """Look, plan, do what may be done, ask for the rest."""
    run, spec, job = scene.run, scene.source.spec, scene.run.job
    prepared = await scene.prepare(scene.policy)
    replaced = job.request.payload.get("replace")
    names = frozenset(map(str, replaced)) if isinstance(replaced, list) else frozenset()
    wish = Wish(names, bool(job.request.payload.get("prune")))
    asked = bold(scene.policy, prepared.plan, wish)
    full = prepared if asked == scene.policy else await scene.prepare(asked)
    run.say(f"planned: {summary(full.plan)}", phase="plan")
    if job.approved_by:
        try:
            gate(full, job.digest)
            if _names(scene) != (job.result.get("restored") or []):
                raise Conflict("other guests have this snapshot now than those that were approved")
        except Conflict:
            run.say("guests or manifests have changed since the approval: this is another plan", "warning")
        else:
            run.say(f"approved by {job.approved_by}")
            return await (_taken_back(scene) if scene.back else _carried_out(scene, full))
    waiting = grave(full.plan, spec, run.house.server.own_guest, prepared.plan)
    everything = ask or (spec.sync == "manual" and any(step.acts for step in full.plan.steps))
    if everything and (scene.back or any(step.acts for step in full.plan.steps)):
        await _recorded(scene, prepared)
        return await _waits(scene, full, "every change of this source waits for a person" if not ask else "a rollback")
    if not waiting:
        return await _carried_out(scene, full)
    # What is declared no more cannot be named alone: such deletes wait with the rest.
    left = harmless(waiting, [step.ref for step in prepared.plan.steps if step.acts and step.action != "delete"])
    if left:
        first = await scene.prepare(replace(scene.policy, only=left, prune=False))
        run.say(f"{len(left)} guests go at once, {len(waiting)} wait")
        outcome = await _carried_out(scene, first)
        if outcome.state != "succeeded":
            return outcome
        full = await scene.prepare(asked)
    await _recorded(scene, await scene.prepare(scene.policy))
    return await _waits(scene, full, _told(waiting))


def _told(waiting: Sequence[Step]) -> str:
    shown = [f"{step.action} of {step.ref} ({step.reason})" for step in waiting[:3]]
    return "; ".join(shown) + (f"; and {len(waiting) - len(shown)} more" if len(waiting) > len(shown) else "")


async def _waits(scene: Scene, full: Prepared, why: str) -> Outcome:
    scene.run.say(f"waits for an approval: {why}", "warning", phase="approval")
    body = await blamed(scene.run.house, scene.source.name, scene.rendered.revision, scene.shown(full))
    told = summary(full.plan)
    if scene.back:
        body["restored"] = _names(scene)
        told = f"{told}; {_back(scene)} first: what they have become since is lost"
    return Outcome("waiting", told, result=body, digest=full.plan.digest)


def _names(scene: Scene) -> list[Json]:
    return [item.ref.name for item in scene.back]


def _back(scene: Scene) -> str:
    names = ", ".join(map(str, _names(scene)[:5])) + (" …" if len(scene.back) > 5 else "")
    return f"{names} back to snapshot {scene.back[0].snapshot}"


async def _taken_back(scene: Scene) -> Outcome:
    """Guests are what they were; a sync brings what else the revision says, under the rules of every sync."""
    await operating.take_back(scene.run, scene.links, scene.back)
    return Outcome("succeeded", _back(scene), result={"restored": _names(scene)})


async def _carried_out(scene: Scene, prepared: Prepared) -> Outcome:
    run, spec = scene.run, scene.source.spec
    acts = any(step.acts for step in prepared.plan.steps)
    if acts and (spec.snapshot_before or run.job.request.payload.get("snapshot")):
        await operating.before(run, scene.links, prepared.plan)
    result = await carry_out(prepared, scene.links, run.listen, run.stop, patience=PATIENCE, builder=run.house.builder)
    stopped = result.stopped and any(item.error.startswith("stopped") for item in result.results)
    told = replace(prepared.policy, provision=True)
    if told.configure == "always":  # where guests stand is told, not what this run was asked to do again
        told = replace(told, configure="changed")
    seen = prepared if not acts and scene.insider is None else await scene.prepare(told, health=True)
    await _recorded(scene, seen)
    body = recording.with_results(scene.shown(prepared), result)
    failed = _failures(prepared.plan, result)
    if stopped:
        return Outcome("failed", "stopped before it was done", "stopped; the next run goes on", "Stopped", body)
    if failed:
        text = "; ".join(failed[:3]) + (f"; and {len(failed) - 3} more" if len(failed) > 3 else "")
        count = f"{len(failed)} problem{'' if len(failed) == 1 else 's'}"
        return Outcome("failed", count, text, "Failed", body, stalled=_hopeless(prepared, result))
    return Outcome("succeeded", summary(prepared.plan), result=body)


def _failures(plan: Plan, result: Result) -> list[str]:
    """What is not as it should be now, and nobody is asked about."""
    errors = [item for item in plan.diagnostics if item.severity == "error"]
    told = {item.summary for item in errors}  # with what to do, which a step refused for the same reason has not
    found = [f"{item.step.ref}: {item.error}" for item in result.results
             if item.state != "done" and item.error not in told]  # fmt: skip
    return list(dict.fromkeys([*found, *(f"{item.summary}. {item.detail}".strip(". ") for item in errors)]))


def _hopeless(prepared: Prepared, result: Result) -> bool:
    """Whether all that went wrong needs a person: nothing failed that may pass, and nothing hid from the look."""
    tried = all(item.cause in _FOR_A_PERSON for item in result.results if item.state == "failed")
    passing = any(isinstance(item.outcome, Blocked) and item.outcome.passing for item in prepared.decisions)
    return tried and not passing and all(map(_whole, prepared.views.values()))


def _whole(view: ClusterView | Unreachable) -> bool:
    """Whether time alone would show no more of a cluster than this."""
    if isinstance(view, Unreachable):
        return view.cause == NotLetIn.__name__
    return view.complete and view.quorate and all(node.online for node in view.nodes.values())


async def _recorded(scene: Scene, seen: Prepared) -> None:
    """Tell people what was seen."""
    run, house, source = scene.run, scene.run.house, scene.source.name
    now = house.now()
    found = recording.records(seen, source, scene.former, now, scene.where)
    found = await located(found, seen, scene.links)
    await house.store.put_guests(source, found, whole=not seen.policy.only)
    drifted = (*recording.drifts(seen, source, scene.former, now), *scene.left)
    if seen.policy.only:
        others = await house.store.drifts(source=source)
        drifted += tuple(item for item in others if not seen.policy.selects(item.ref) and item not in scene.left)
    await house.store.put_drift(drifted, source)
    house.bus.tell("guest", {"source": source, "job": run.job.id})


async def records_of(run: Run, source: str) -> dict[Ref, GuestRecord]:
    page = await run.house.store.guests(GuestQuery(sources=(source,), limit=MOST))
    return {item.ref: item for item in page.guests}


async def _synced(run: Run, source: Source, revision: str) -> None:
    house, now = run.house, run.house.now()
    await house.store.put_source(source.name, synced=revision, synced_at=now, error="")
    commits = await house.repository(source.name).log(200)
    found = next((item for item in commits if item.revision == revision), None)
    if found is not None:
        done = Revision(source.name, revision, found.author, found.subject, found.at, run.job.id, now)
        await house.store.add_revision(done)
    house.bus.tell("source", {"name": source.name})
