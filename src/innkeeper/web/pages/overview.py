"""The first page: what needs a person, what there is, what happened last, and the way to something new."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from innkeeper.control.looking import Overview
from innkeeper.web.deps import Services, Viewer
from innkeeper.web.render import page
from innkeeper.web.views.attention import attention

router = APIRouter()


@router.get("/")
async def overview(request: Request, actor: Viewer, parts: Services) -> Response:
    seen = await parts.commands.overview()
    house = parts.commands.house
    return page(
        request,
        "overview.html",
        seen=seen,
        attention=attention(seen),
        figures=_figures(seen),
        sources=house.sources,
        clusters=await parts.commands.clusters(),
        profiles=await parts.commands.profiles(),
    )


def _figures(seen: Overview) -> tuple[tuple[str, int, str], ...]:
    """A word, a number, and the list that it counts."""
    counts, sick = seen.counts, "/guests?health=Degraded,Missing"
    return (
        ("healthy", counts.health.get("Healthy", 0), "/guests?health=Healthy"),
        ("progressing", counts.health.get("Progressing", 0), "/guests?health=Progressing"),
        ("sick or missing", counts.health.get("Degraded", 0) + counts.health.get("Missing", 0), sick),
        ("suspended", counts.health.get("Suspended", 0), "/guests?health=Suspended"),
        ("out of sync", counts.sync.get("OutOfSync", 0), "/guests?sync=OutOfSync"),
        ("wait for a restart", counts.conditions.get("PendingReboot", 0), "/guests?condition=PendingReboot"),
    )
