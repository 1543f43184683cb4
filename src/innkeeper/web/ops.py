"""For whoever runs the server: is it alive, can it work, how does it do."""

from fastapi import APIRouter
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from innkeeper.web.deps import Anyone, Services

router = APIRouter()


@router.api_route("/healthz", methods=["GET", "HEAD"])
async def alive(actor: Anyone) -> Response:
    """200 as long as anything is answered at all."""
    return PlainTextResponse("ok\n")


@router.api_route("/readyz", methods=["GET", "HEAD"])
async def ready(actor: Anyone, parts: Services) -> Response:
    """200, or 503 with the reason while nothing can be written."""
    await parts.store.writable()
    return PlainTextResponse("ready\n")


@router.get("/metrics")
async def metrics(actor: Anyone, parts: Services) -> Response:
    """Counts and names of nodes, clusters and sources; a reverse proxy should keep it inside."""
    text = await parts.metrics.text(parts.store, sorted(parts.commands.house.sources), parts.clock())
    return Response(text, media_type=CONTENT_TYPE_LATEST)
