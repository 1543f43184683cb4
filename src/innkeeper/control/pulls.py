"""What a plan job says on the pull request that it is of: a status on its commit, and one comment.

A forge that does not answer costs the plan nothing: what went wrong is a line of the job's log.
"""

from collections.abc import Awaitable, Sequence

from innkeeper.control.comment import Proposal, markdown, summary
from innkeeper.control.house import House
from innkeeper.control.ports import Forge
from innkeeper.engine.errors import EngineError
from innkeeper.model.diagnostics import Diagnostic, has_errors
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Declared
from innkeeper.model.plan import Plan

NO_PLAN = "no plan: the manifests have errors"


async def begun(house: House, job: Job, revision: str) -> str:
    """Say on the commit that it is being planned; what went wrong, or empty."""
    forge = _forge(house, job)
    return await _tried(forge.status(revision, "pending", "planning", house.link(job.id))) if forge else ""


async def told(
    house: House,
    job: Job,
    revision: str,
    plan: Plan | None,
    diagnostics: Sequence[Diagnostic] = (),
    declared: Declared | None = None,
) -> str:
    """Say what the plan is; what went wrong, or empty. No `plan`: `diagnostics` say why there is none."""
    forge, pull, source = _forge(house, job), job.request.payload.get("pull"), job.request.source
    if forge is None or not isinstance(pull, int):
        return ""
    proposal = Proposal(
        source=source,
        revision=revision,
        plan=plan,
        diagnostics=diagnostics,
        places={guest.ref: guest.origin.location for guest in (declared.guests if declared else ())},
        url=house.link(job.id),
        fork=job.request.payload.get("trusted") is not True,
    )
    problem = await _tried(forge.comment(pull, markdown(proposal), f"plan/{source}"))
    faulty = plan is None or has_errors((*diagnostics, *plan.diagnostics)) or any(step.refused for step in plan.steps)
    text = NO_PLAN if plan is None else summary(plan)
    return problem or await _tried(forge.status(revision, "failure" if faulty else "success", text, proposal.url))


async def failed(house: House, job: Job, revision: str) -> str:
    """Say that there is no plan, for a reason that is not the manifests'; it is ours, and stays in the job."""
    forge, text = _forge(house, job), "no plan could be made"
    return await _tried(forge.status(revision, "failure", text, house.link(job.id))) if forge else ""


def _forge(house: House, job: Job) -> Forge | None:
    return house.forges.get(job.request.source) if job.request.payload.get("pull") is not None else None


async def _tried(call: Awaitable[None]) -> str:
    try:
        await call
    except EngineError as error:
        return f"the pull request was not told: {error}"
    return ""
