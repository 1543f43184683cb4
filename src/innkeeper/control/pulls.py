"""What a plan job says on the pull request that it is of: a status on its commit, and one comment.

A forge that does not answer costs the plan nothing: what went wrong is a line of the job's log.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import replace

from innkeeper.control.comment import Proposal, markdown, summary
from innkeeper.control.house import House
from innkeeper.control.ports import Forge
from innkeeper.control.rendered import Rendered
from innkeeper.control.rendering import repository_path
from innkeeper.engine.errors import EngineError
from innkeeper.model.diagnostics import Location, has_errors
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Plan, Step

NO_PLAN = "no plan: the manifests have errors"


async def begun(house: House, job: Job, revision: str) -> str:
    """Say on the commit that it is being planned; what went wrong, or empty."""
    forge = _forge(house, job)
    return await _tried(forge.status(revision, "pending", "planning", house.link(job.id), _ref(job))) if forge else ""


async def told(house: House, job: Job, rendered: Rendered, plan: Plan | None, waiting: Sequence[Step] = ()) -> str:
    """Say what the plan is; what went wrong, or empty. No `plan`: what was rendered says why there is none.

    `waiting` are its steps that a person has to approve once they are merged.
    """
    forge, pull, source = _forge(house, job), job.request.payload.get("pull"), job.request.source
    if forge is None or not isinstance(pull, int):
        return ""
    diagnostics = rendered.loaded.diagnostics
    proposal = Proposal(
        source=source,
        revision=rendered.revision,
        plan=plan,
        diagnostics=diagnostics,
        places=_places(house, source, rendered),
        waiting=waiting,
        url=house.link(job.id),
        fork=job.request.payload.get("trusted") is not True,
    )
    problem = await _tried(forge.comment(pull, markdown(proposal), f"plan/{source}"))
    faulty = plan is None or has_errors((*diagnostics, *plan.diagnostics)) or any(step.refused for step in plan.steps)
    text = NO_PLAN if plan is None else summary(plan)
    if waiting:
        text += f"; {len(waiting)} to be approved after the merge"
    status = forge.status(rendered.revision, "failure" if faulty else "success", text, proposal.url, _ref(job))
    return await _tried(status) or problem


def _places(house: House, source: str, rendered: Rendered) -> dict[Ref, Location]:
    """Where guests are declared, in files as the repository calls them."""
    spec, found = house.source(source), {}
    for guest in rendered.loaded.declared.guests:
        place = guest.origin.location
        found[guest.ref] = replace(place, file=repository_path(place.file, rendered.place, spec))
    return found


async def failed(house: House, job: Job, revision: str) -> str:
    """Say that there is no plan, for a reason that is not the manifests'; it is ours, and stays in the job."""
    forge, text = _forge(house, job), "no plan could be made"
    return await _tried(forge.status(revision, "failure", text, house.link(job.id), _ref(job))) if forge else ""


def _ref(job: Job) -> str:
    return str(job.request.payload.get("ref") or "")


def _forge(house: House, job: Job) -> Forge | None:
    return house.forges.get(job.request.source) if job.request.payload.get("pull") is not None else None


async def _tried(call: Awaitable[None]) -> str:
    try:
        await call
    except EngineError as error:
        return f"the pull request was not told: {error}"
    return ""
