"""Names and addresses in a file: lines of a hosts file, or records that a zone file includes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from innkeeper.control.ports import Service
from innkeeper.engine.errors import Stalled
from innkeeper.model.server import HostsPublisher
from innkeeper.publish.claims import Told, complain, settled
from innkeeper.publish.files import MARK, read, write

_NOTE = f"{MARK}. Changes are overwritten."


class Hosts:
    """Implements `innkeeper.control.ports.Publisher`. The whole file is ours; another's is refused."""

    def __init__(self, spec: HostsPublisher) -> None:
        self.name = spec.name
        self._spec = spec
        self._file = Path(spec.file)
        self._sign = "#" if spec.type == "hosts" else ";"

    async def publish(self, services: Sequence[Service]) -> tuple[str, ...]:
        before = await asyncio.to_thread(read, self._file)
        if before and not before.startswith(f"{self._sign} {_NOTE}"):
            raise Stalled(f"{self._file} was not written by Innkeeper", "name a file of its own, and include it")
        told, problems = settled(services, self._owners(before or ""))
        text = self._text(told)
        if text != before:
            await asyncio.to_thread(write, self._file, text)
        complain(f"{self._spec.type} {self.name}", problems)
        return (f"{self._file} holds {len(told)} name{'' if len(told) == 1 else 's'}",) if text != before else ()

    def _text(self, told: Sequence[Told]) -> str:
        lines = [f"{self._sign} {_NOTE}"]
        for item in told:
            if self._spec.type == "hosts":
                lines.append(f"{item.service.address}\t{item.domain}\t# {item.service.owner}")
            else:
                record = "AAAA" if ":" in item.service.address else "A"
                lines.append(f"{item.domain}.\tIN\t{record}\t{item.service.address}\t; {item.service.owner}")
        return "\n".join(lines) + "\n"

    def _owners(self, text: str) -> dict[str, str]:
        owners: dict[str, str] = {}
        for line in text.splitlines()[1:]:
            words, _, owner = line.partition(f"\t{self._sign} ")
            fields = words.split()
            domain = fields[1] if self._spec.type == "hosts" else fields[0].rstrip(".")
            owners[domain] = owner
        return owners
