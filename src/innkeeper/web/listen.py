"""How the application is served: by uvicorn, which says nothing of itself and believes no proxy.

Whom to believe about `X-Forwarded-For` is the application's own affair (`server.trustedProxies`); uvicorn by itself
would believe any process of this machine.
"""

import socket

import uvicorn
from fastapi import FastAPI

from innkeeper.web.streams import Streams

_GRACE = 10
"""Seconds that requests have to end after the server was told to stop."""


class Server(uvicorn.Server):
    """Ends the open streams first when it stops: they would be waited for in vain."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        super().__init__(config)
        self._streams = streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams.stop()
        await super().shutdown(sockets)


def server(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Server:
    """`await server(app).serve(sockets=[…])`; it ends when `should_exit` is set."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        h11_max_incomplete_event_size=32 * 1024,
        limit_concurrency=1000,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE,
    )
    return Server(config, app.state.streams)
