"""Sites of a Caddy: a file for each service, and a reload that is taken back where Caddy does not like it."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

from innkeeper.control.ports import Service
from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.server import CaddyPublisher
from innkeeper.publish.claims import Told, complain, settled
from innkeeper.publish.files import owner_of, read, remove, write
from innkeeper.publish.sites import site

_SUFFIX = ".caddy"


class Caddy:
    """Implements `innkeeper.control.ports.Publisher`."""

    def __init__(self, spec: CaddyPublisher) -> None:
        self.name = spec.name
        self._spec = spec
        self._directory = Path(spec.directory)
        self._unread = True
        """Whether Caddy may not have read what its files say: nobody knows at the start."""

    async def publish(self, services: Sequence[Service]) -> tuple[str, ...]:
        before = await asyncio.to_thread(self._present)
        told, problems = settled(services, {domain: owner_of(text) for domain, text in before.items()})
        after, refused = self._rendered(told)
        ours = {domain: text for domain, text in before.items() if owner_of(text)}
        changed = sorted(domain for domain in ours.keys() | after.keys() if ours.get(domain) != after.get(domain))
        await asyncio.to_thread(self._write, changed, after)
        self._unread = self._unread or bool(changed)
        if self._unread and self._spec.admin is not None and self._spec.caddyfile is not None:
            try:
                await self._load(self._spec.admin, Path(self._spec.caddyfile))
            except Stalled:
                await asyncio.to_thread(self._write, changed, ours)
                raise
            self._unread = False
        complain(f"caddy {self.name}", (*problems, *refused))
        return tuple(_line(domain, ours, after) for domain in changed)

    def _present(self) -> dict[str, str]:
        """Domain → file, everybody's."""
        files = {path.name.removesuffix(_SUFFIX): read(path) for path in sorted(self._directory.glob(f"*{_SUFFIX}"))}
        return {domain: text for domain, text in files.items() if text is not None}

    def _rendered(self, told: Sequence[Told]) -> tuple[dict[str, str], list[str]]:
        rendered: dict[str, str] = {}
        refused: list[str] = []
        for item in told:
            try:
                rendered[item.domain] = site(item, self._spec)
            except ValueError as error:
                refused.append(f"{item.service.owner}: {item.domain} is not told: {error}")
        return rendered, refused

    def _write(self, changed: Sequence[str], wanted: Mapping[str, str]) -> None:
        for domain in changed:
            path = self._directory / f"{domain}{_SUFFIX}"
            if domain in wanted:
                write(path, wanted[domain])
            else:
                remove(path)

    async def _load(self, admin: str, caddyfile: Path) -> None:
        """Stalled where Caddy refuses the configuration, Waiting where it does not answer: its files stay then."""
        text = await asyncio.to_thread(read, caddyfile)
        if text is None:
            raise Stalled(f"caddy {self.name}: there is no {caddyfile}", f"it imports {self._directory}/*{_SUFFIX}")
        try:
            async with httpx2.AsyncClient(timeout=20.0, verify=ssl.create_default_context()) as client:
                answer = await client.post(
                    f"{admin.rstrip('/')}/load",
                    content=text,
                    headers={"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"},
                )
        except httpx2.TransportError as error:
            said = f"caddy {self.name} at {admin} does not answer ({type(error).__name__})"
            raise Waiting(said, "its files are written; it reads them when it starts", 30.0) from None
        if not answer.is_success:
            raise Stalled(
                f"caddy {self.name} refuses its configuration: {answer.text[:300].strip()}",
                f"`caddy validate --config {caddyfile}` says more; the former sites are kept",
            )


def _line(domain: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    if domain not in after:
        return f"{domain} is served no more"
    return f"{domain} is served {'anew' if domain in before else 'now'}"
