"""A plan for somebody to look at: of the newest revision, of any other, or of a pull request. Nothing is changed."""

from contextlib import nullcontext
from dataclasses import replace

from innkeeper.control import grafting, pulls, recording
from innkeeper.control.approval import Wish, bold, grave
from innkeeper.control.blaming import blamed
from innkeeper.control.comment import summary
from innkeeper.control.rendering import render, repository_path
from innkeeper.control.running import Outcome, Run
from innkeeper.control.syncing import SHORT, fetched
from innkeeper.engine.errors import EngineError
from innkeeper.engine.reconcile import prepare
from innkeeper.model.diagnostics import Location
from innkeeper.model.plan import Json
from innkeeper.planner.policy import Policy


async def plan(run: Run) -> Outcome:
    house, job = run.house, run.job
    source = house.source(job.request.source)
    ref = str(job.request.payload.get("ref") or job.request.revision or "")
    # A stranger's proposal is planned without secrets and without a look inside guests; nothing of it runs here.
    trusted = job.request.payload.get("trusted", True) is True
    revision = await house.repository(source.name).resolve(ref) if ref else (await fetched(run, source)).revision
    await house.store.update_job(job.id, ("running",), revision=revision)
    await _told(run, await pulls.begun(house, job, revision))
    try:
        within = await grafting.inside(house, source, revision)
        rendered = await render(house, source, revision, within, strict=not trusted)
        if not rendered.loaded.ok:
            findings = rendered.loaded.diagnostics
            await _told(run, await pulls.told(house, job, rendered, None))
            first = next(item for item in findings if item.severity == "error")
            text = f"{first.location or source.name}: {first.summary}"
            faults: dict[str, Json] = {"diagnostics": [recording.plain(item.to_json()) for item in findings]}
            return Outcome("failed", text, text, "Stalled", faults, revision=revision)
        declared = rendered.loaded.declared
        policy = Policy(
            source=source.name,
            revision=revision[:SHORT],
            prune=source.spec.prune,
            max_deletes=source.spec.max_deletes,
            only=frozenset(job.request.only),
        )
        inside = house.insides(declared) if trusted else nullcontext()
        async with house.links.connected(declared.clusters) as links, inside as insider:
            prepared = await prepare(declared, links, policy, run.say, insider=insider)
            # What a person is asked about is shown as it will be asked.
            ordinary, asked = prepared.plan, bold(policy, prepared.plan, Wish())
            if asked != policy:
                prepared = await prepare(declared, links, asked, run.say, insider=insider)
    except EngineError:
        await _told(run, await pulls.failed(house, job, revision))
        raise
    acting = tuple(step for step in prepared.plan.steps if step.acts)
    grave_ones = grave(prepared.plan, source.spec, house.server.own_guest, ordinary)
    waiting = acting if source.spec.sync == "manual" else grave_ones
    await _told(run, await pulls.told(house, job, rendered, prepared.plan, waiting))
    findings = (*rendered.loaded.diagnostics, *prepared.plan.diagnostics)
    found = replace(prepared.plan, diagnostics=findings)

    def where(place: Location) -> tuple[str, int]:
        return repository_path(place.file, rendered.place, source), place.line

    body = await blamed(house, source.name, revision, recording.shown(found, prepared, where))
    return Outcome("succeeded", summary(found), result=body, digest=found.digest, revision=revision)


async def _told(run: Run, problem: str) -> None:
    if problem:
        run.say(problem, "warning")
