"""A Proxmox behind a proxy that asks for a client's certificate, with a CA of its own."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trustme

from tests.innkeeper.operator.world import World, cluster, free, machine, secret
from tests.pvesim.running import Sim

pytestmark = pytest.mark.timeout(120)


@contextmanager
def guarded(sim: Sim, authority: trustme.CA) -> Iterator[str]:
    """The URL of a proxy before pvesim that lets nobody in without a certificate of this CA."""
    host, port = next(iter(sim.urls.values())).removeprefix("https://").split(":")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    loop, listen = asyncio.new_event_loop(), free()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port), ssl=sim.tls)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async def serve(ready: threading.Event, end: asyncio.Event) -> None:
        async with await asyncio.start_server(relay, "127.0.0.1", listen, ssl=server):
            ready.set()
            await end.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    ready, end = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(ready, end)))
    thread.start()
    try:
        assert ready.wait(10)
        yield f"https://127.0.0.1:{listen}"
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_a_client_certificate_and_an_own_ca(world: World) -> None:
    authority, other = trustme.CA(), trustme.CA()
    client = authority.issue_cert("operator.example.org")
    pem = {
        "caCertificate": authority.cert_pem.bytes().decode(),
        "clientCertificate": client.cert_chain_pems[0].bytes().decode(),
        "clientKey": client.private_key_pem.bytes().decode(),
    }
    with guarded(world.sim, authority) as url:
        operator = world.operator()
        world.plane.apply(
            secret(), cluster(world.sim, endpoint=url, caCertificate=pem["caCertificate"]), machine("web")
        )
        world.reason("web", "ClusterUnreachable")
        assert not world.vms(), "without the certificate nothing is let in"
        world.plane.apply(cluster(world.sim, endpoint=url, **pem))
        world.wait("web")
        world.plane.apply(cluster(world.sim, endpoint=url, **pem | {"caCertificate": other.cert_pem.bytes().decode()}))
        assert "certificate" in world.reason("lab", "ClusterRefused", "proxmoxcluster")["message"]
        world.plane.apply(cluster(world.sim, endpoint=url, **pem))
        world.reason("lab", "Connected", "proxmoxcluster")
        operator.kill()
    assert "PRIVATE KEY" not in operator.text()
