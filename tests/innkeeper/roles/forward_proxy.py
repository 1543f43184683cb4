"""A forward proxy whose listening socket is in another network namespace: `forward_proxy.py NETNS ADDRESS PORT`.

Guests on a private bridge have no route to anywhere; this is how they get packages. It keeps nothing.
"""

import asyncio
import ctypes
import os
import socket
import sys
from urllib.parse import urlsplit

CLONE_NEWNET = 0x40000000


def listener(namespace: str, address: str, port: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as ours, open(namespace) as theirs:
        if libc.setns(theirs.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        made = socket.create_server((address, port))
        libc.setns(ours.fileno(), CLONE_NEWNET)
    return made


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: a tunnel for CONNECT, else one request that is passed on and closed after its answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode("latin-1").split(" ", 2)
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            url = urlsplit(target)
            up_reader, up_writer = await asyncio.open_connection(url.hostname, url.port or 80)
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            kept = [row for row in rest.split(b"\r\n") if row and not row.lower().startswith((b"connection:", b"proxy-"))]
            up_writer.write(
                b"\r\n".join([f"{method} {path} HTTP/1.1".encode("latin-1"), *kept, b"Connection: close", b"", b""])
            )
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        print(f"forward proxy: {error}", file=sys.stderr)
        writer.close()


async def main(namespace: str, address: str, port: str) -> None:
    server = await asyncio.start_server(serve, sock=listener(namespace, address, int(port)), limit=1 << 20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    print(f"forward proxy {os.getpid()}", file=sys.stderr)
    asyncio.run(main(*sys.argv[1:]))
