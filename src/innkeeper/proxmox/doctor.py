"""What stands in the way of applying these manifests to this cluster, looked at before anybody tries."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from innkeeper.engine.errors import EngineError
from innkeeper.engine.ports import Scope
from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.objects import Cluster, Guest
from innkeeper.model.observed import ClusterView
from innkeeper.proxmox.hypervisor import Proxmox
from innkeeper.proxmox.tls import Endpoint, expiry, fingerprint, parse_endpoint, presented
from innkeeper.settings.privileges import excess, missing, needs

OLDEST = (8, 4)
_SKEW = 30.0
_SOON = 21 * 86400.0

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report: `topic` is connection, tls, clock, version, cluster or privileges; `advice` is
    what to do, for a missing privilege the exact `pveum` line."""

    topic: str
    status: Status
    text: str
    advice: str = ""

    def to_json(self) -> dict[str, object]:
        return {"topic": self.topic, "status": self.status, "text": self.text, "advice": self.advice}


async def examine(
    proxmox: Proxmox, cluster: Cluster, guests: Iterable[Guest], now: float | None = None
) -> tuple[Finding, ...]:
    """All findings; never raises an EngineError. `now` in seconds since 1970, for the clock's check."""
    guests = tuple(guests)
    endpoints = [parse_endpoint(url) for url in cluster.spec.endpoints]
    doors = await asyncio.gather(*(_door(endpoint, only=len(endpoints) == 1) for endpoint in endpoints))
    try:
        answer = await proxmox.session.read("/version")
        here = time.time() if now is None else now
        view = await proxmox.observe(_cloned(guests))
    except EngineError as error:
        return (*filter(None, doors), Finding("connection", "error", error.message, error.advice))
    used = proxmox.session.endpoint
    return (
        Finding("connection", "ok", f"{used} lets {proxmox.session.identity.user} in"),
        *(door for door in doors if door is not None),
        await _tls(proxmox, cluster, here),
        clock(answer.date, here),
        version(view),
        *state(view),
        *rights(cluster, guests, view, proxmox.session.identity.user),
    )


def _cloned(guests: Iterable[Guest]) -> Scope:
    """The templates that are cloned: where their disks lie decides which storages a clone needs."""
    clones = [guest.spec.clone for guest in guests if isinstance(guest.spec, VirtualMachineSpec)]
    templates = [clone.template for clone in clones if clone is not None]
    return Scope(
        frozenset(name for name in templates if isinstance(name, int)),
        frozenset(name for name in templates if isinstance(name, str)),
        ours=False,
    )


async def _door(endpoint: Endpoint, *, only: bool) -> Finding | None:
    """Says when an endpoint is down; where there is only one, the failure itself is reported."""
    if only:
        return None
    try:
        await presented(endpoint)
    except EngineError as error:
        return Finding("connection", "warning", error.message, "the other endpoints are used meanwhile")
    return None


async def _tls(proxmox: Proxmox, cluster: Cluster, now: float) -> Finding:
    endpoint, tls = proxmox.session.endpoint, cluster.spec.tls
    try:
        if tls.insecure:
            found = fingerprint(await presented(endpoint))
            return Finding("tls", "warning", "insecure: anybody in between can read the credentials",
                           f"write tls: {{fingerprint: {found}}}")  # fmt: skip
        end = await expiry(endpoint, await proxmox.session.context())
    except (EngineError, OSError) as error:
        return Finding("tls", "error", str(error))
    trusted = "by tls.caFile" if tls.ca_file else "by its fingerprint" if tls.fingerprint else "by this machine's trust"
    if end is None:
        return Finding("tls", "ok", f"{endpoint} is trusted {trusted}")
    until = datetime.fromtimestamp(end, UTC).date().isoformat()
    if end - now < _SOON:
        advice = "renew it on its node: pvecm updatecerts --force"
        return Finding("tls", "warning", f"the certificate of {endpoint} ends on {until}", advice)
    return Finding("tls", "ok", f"{endpoint} is trusted {trusted}, its certificate holds until {until}")


def clock(date: str, now: float) -> Finding:
    """Whether the cluster's clock (a `Date` header) and ours agree; tickets and certificates need that."""
    try:
        skew = parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return Finding("clock", "warning", "the cluster does not tell its time")
    if abs(skew) > _SKEW:
        order = "ahead of" if skew > 0 else "behind"
        text = f"the cluster's clock is {abs(skew):.0f} s {order} this machine's"
        return Finding("clock", "warning", text, "set both by NTP: tickets and certificates depend on it")
    return Finding("clock", "ok", f"the clocks differ by {abs(skew):.0f} s")


def version(view: ClusterView) -> Finding:
    release = view.facts.get("release") or ".".join(map(str, view.version))
    if view.version < OLDEST:
        return Finding("version", "error", f"Proxmox VE {release} is too old", "Innkeeper works with 8.4 to 9.x")
    if view.version[0] > 9:
        text = f"Proxmox VE {release} is newer than what Innkeeper was made for"
        return Finding("version", "warning", text, "it works with 8.4 to 9.x")
    return Finding("version", "ok", f"Proxmox VE {release}")


def state(view: ClusterView) -> Iterator[Finding]:
    for gap in view.gaps:
        if "VM.Audit" not in gap:  # among the privileges
            yield Finding("cluster", "warning" if view.complete else "error", gap)
    if not view.gaps:
        yield Finding(
            "cluster", "ok", f"all {len(view.nodes)} nodes are up" if len(view.nodes) > 1 else "the node is up"
        )


def rights(cluster: Cluster, guests: Iterable[Guest], view: ClusterView, user: str) -> Iterator[Finding]:
    """Missing privileges with the line that grants them, and those that go beyond."""
    wanted = needs(cluster, guests, view.version, view.guests.values())
    permissions = view.privileges or {}
    lacking = missing(wanted, permissions, user)
    for one in lacking:
        reasons = "; ".join(one.why[:3]) + (f"; and {len(one.why) - 3} more" if len(one.why) > 3 else "")
        if one.line:
            text = f"{user} lacks {', '.join(one.privileges)} on {one.path} ({reasons})"
            yield Finding("privileges", "error", text, one.line)
        else:
            text = f"{user} may not: {reasons}; only root@pam signed in with its password may"
            yield Finding("privileges", "error", text, "write credentials: {username: root@pam, password: {env: …}}")
    if not lacking:
        yield Finding("privileges", "ok", f"{user} has every privilege that these manifests need")
    for path, names in excess(wanted, permissions).items():
        text = f"{user} has more than these manifests need on {path}: {', '.join(names)}"
        yield Finding("privileges", "warning", text, "a token with privilege separation and a role of its own is safer")
