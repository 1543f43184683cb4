"""asyncio's own streams below `httpcore2`: they take a fifth less of a large plan's reads than those of anyio."""

import asyncio
import os
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore2

_AT_ONCE = 1 << 20
"""Bytes that are taken in before the sender is held back."""


class Streams(httpcore2.AsyncNetworkBackend):
    """Connections with TLS. Raises what `httpcore2` expects of a network."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return _Address(host, port)


class _Address(httpcore2.AsyncNetworkStream):
    """Where to connect to: asyncio's streams have TLS from the start, so the connection is made together with it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=ssl_context, server_hostname=server_hostname, limit=_AT_ONCE
                )
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ConnectError(_reason(error)) from error
        return _Stream(reader, writer)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        try:
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    def get_extra_info(self, info: str) -> Any:
        """`is_readable` of an idle connection: the other side has closed it."""
        return self._reader.at_eof() if info == "is_readable" else self._writer.get_extra_info(info)


def _reason(error: OSError) -> str:
    """In the system's words: asyncio's own name a call and its arguments."""
    return os.strerror(error.errno) if isinstance(error, ConnectionError) and error.errno else str(error)
