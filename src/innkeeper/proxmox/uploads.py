"""A file on its way to a storage: the form that Proxmox takes, read as it is sent."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

_CHUNK = 1 << 20


class Upload:
    """The body of `POST …/upload`: the fields, then the file. Each iteration reads the file anew.

    Source: PVE::APIServer::AnyEvent, file_upload_multipart. The length must be known: pveproxy takes no chunks.
    """

    def __init__(self, params: Iterable[tuple[str, str]], file: Path) -> None:
        given = dict(params)
        boundary = secrets.token_hex(16)
        name = given.pop("filename")
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in given.items()
        )
        head += f'--{boundary}\r\nContent-Disposition: form-data; name="filename"; filename="{name}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        self.content_type = f"multipart/form-data; boundary={boundary}".encode()
        self._head, self._tail = head.encode(), f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._size = file.stat().st_size

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        with self._file.open("rb") as stream:
            while chunk := await asyncio.to_thread(stream.read, _CHUNK):
                yield chunk
        yield self._tail
