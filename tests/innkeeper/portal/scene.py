"""A house full of guests in every state, on a real store behind the real application: for looking at pages.

What only a live cluster and git can tell (nodes, snapshots, tasks, the form's choices, a plan) stands here as values;
the tests that create, drift and delete use a real server on pvesim instead.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import uvicorn

from innkeeper.control.actors import Actor
from innkeeper.control.commands import Commands
from innkeeper.control.forms import ClusterOptions, Form, FormOptions, Preview, Problem, ProfileOptions
from innkeeper.control.house import House
from innkeeper.control.memory import Accounts, Store
from innkeeper.control.ports import Commit, FileChange, NodeUse, Snapshot, Task
from innkeeper.manifests.writing import manifest, to_yaml
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.jobs import Request
from innkeeper.model.objects import AllowedRange, Cluster, ClusterSpec, Credentials, Origin, Ref
from innkeeper.model.plan import Change, Plan, Step
from innkeeper.model.records import Drift, Entry, GuestRecord, Revision
from innkeeper.model.server import ServerSpec
from innkeeper.model.sources import Source, SourceSpec
from innkeeper.model.status import Condition
from innkeeper.store import open_bus, open_queue, open_store
from innkeeper.web.app import create_app
from innkeeper.web.parts import Parts

PASSWORD = "correct horse battery"
NOW = datetime.now(UTC).replace(microsecond=0)
REVISIONS = tuple(f"{word}{'0123456789abcdef' * 3}"[:40] for word in ("9f3c1a", "4be07d", "c81f52", "07aa9e", "e5d311"))
HOSTILE = '<img src=x onerror="alert(1)">'
"""A name, note or log line of somebody who means ill."""


def before(**length: float) -> datetime:
    return NOW - timedelta(**length)


def _guest(name: str, vmid: int, node: str, **more: Any) -> GuestRecord:
    spec = {
        "vmid": vmid,
        "hostname": name,
        "cpu": {"cores": 2},
        "memory": more.pop("memory", "1Gi"),
        "rootDisk": {"storage": "local-zfs", "size": "8Gi"},
        "network": [{"name": "eth0", "bridge": "vmbr0", "ip": f"10.0.10.{vmid % 250}/24", "gateway": "10.0.10.1"}],
        "startOnBoot": True,
        "tags": ["web"],
    }
    kind = more.pop("kind", "Container")
    values: dict[str, Any] = {
        "source": "homelab",
        "cluster": "attic",
        "hostname": f"{name}.lan",
        "address": f"10.0.10.{vmid % 250}",
        "sync": "Synced",
        "health": "Healthy",
        "power": "running",
        "revision": REVISIONS[0],
        "desired": spec,
        "live": {**spec, "features": {"nesting": True}, "swap": "512Mi", "unprivileged": True},
        "file": f"guests/{name}.yaml",
        "line": 1,
        "profile": "static-website",
        "created_at": before(days=40 - vmid % 30),
        "seen_at": before(seconds=4),
        "checks": ({"name": "http 80/healthz", "ok": True, "detail": "200 in 4 ms"},),
    }
    return GuestRecord(ref=Ref(kind, name), vmid=vmid, node=node, **(values | more))


_SIZES = ("1Gi", "2Gi", "16Gi")


def guests() -> list[GuestRecord]:
    docs = _guest("docs", 10042, "pve1")
    drifted = replace(
        docs,
        sync="OutOfSync",
        live={**docs.live, "memory": "4Gi", "cpu": {"cores": 2}},
        pending={"cpu": {"cores": 4}},
        changes=(
            {
                "field": "memory",
                "from": "4Gi",
                "to": "1Gi",
                "impact": "live",
                "file": "guests/docs.yaml",
                "line": 9,
            },
        ),
        conditions=(
            Condition("Drifted", "True", "ChangedByHand", "memory was set to 4Gi by root@pam 6 minutes ago."),
            Condition("PendingReboot", "True", "CoresChanged", "cpu.cores becomes 4 when the guest restarts."),
        ),
    )
    return [
        drifted,
        _guest(
            "wiki",
            10043,
            "pve2",
            health="Degraded",
            checks=(
                {"name": "http 80/healthz", "ok": False, "detail": "502 Bad Gateway instead of 200"},
                {"name": "systemd postgresql", "ok": True, "detail": "active"},
            ),
            profile="web-app",
            memory="2Gi",
        ),
        _guest("broker", 10044, "pve1", profile="generic-service", memory="512Mi"),
        _guest("metrics", 10045, "pve3", profile="monitoring-node", memory="8Gi"),
        _guest(
            "photos",
            10046,
            "pve2",
            kind="VirtualMachine",
            profile="",
            memory="16Gi",
            sync="OutOfSync",
            conditions=(Condition("PendingReboot", "True", "CoresChanged", "cpu.cores waits for a restart."),),
        ),
        _guest("build", 10047, "pve3", kind="VirtualMachine", health="Progressing", profile="", memory="4Gi"),
        _guest("attic-nas", 10048, "pve1", health="Suspended", power="stopped", profile="generic-service"),
        replace(
            _guest("mail", 10049, "pve3"),
            health="Missing",
            sync="OutOfSync",
            vmid=None,
            node="",
            address="",
            power="unknown",
            live={},
            created_at=None,
        ),
        replace(_guest("odd", 10050, "pve2"), hostname=HOSTILE),
        *(
            _guest(
                f"app-{number:02}", 10100 + number, f"pve{number % 3 + 1}", memory=("1Gi", "2Gi", "16Gi")[number % 3]
            )
            for number in range(34)
        ),
    ]


def replacement() -> Plan:
    """A plan with something of every impact."""
    return Plan(
        (
            Step(
                "replace",
                Ref("Container", "wiki"),
                "attic",
                "pve2",
                10043,
                "replace",
                (
                    Change("template", "debian-12", "debian-13", "replace"),
                    Change("rootDisk.size", "16Gi", "8Gi", "data-loss"),
                ),
                "its template can only be chosen when it is made; --replace was given",
                former=10043,
            ),
            Step(
                "update",
                Ref("Container", "docs"),
                "attic",
                "pve1",
                10042,
                "restart",
                (
                    Change("cpu.cores", 2, 4, "restart"),
                    Change("memory", "4Gi", "1Gi", "live"),
                    Change("description", None, "Our handbook, served by nginx", "none"),
                ),
            ),
            Step(
                "create",
                Ref("Container", "mail"),
                "attic",
                "pve3",
                10049,
                "none",
                (
                    Change("template", None, "debian-12"),
                    Change("memory", None, "1Gi"),
                    Change("network.eth0.ip", None, "10.0.10.49/24"),
                ),
                "declared and not there",
                (Ref("Container", "broker"),),
            ),
            Step("delete", Ref("Container", "old-proxy"), "attic", "pve1", 10012, "data-loss", (), "declared no more"),
            *(Step("noop", Ref("Container", f"app-{n:02}"), "attic", "pve1", 10100 + n) for n in range(34)),
        ),
        (
            Diagnostic(
                "warning",
                "NodeNearlyFull",
                "pve2 will have promised 31 GiB of its 32 GiB of memory",
                "Place wiki on pve1, or give it less.",
                Location("guests/wiki.yaml", 7, 3),
            ),
        ),
        reads=49,
    )


def plan_json(plan: Plan) -> dict[str, Any]:
    steps = [
        {
            **step.to_json(),
            "refused": step.refused,
            "changes": [
                {**change.to_json(), "impact": change.impact, "file": f"guests/{step.ref.name}.yaml", "line": 8 + place}
                for place, change in enumerate(step.changes)
            ],
        }
        for step in plan.steps
    ]
    return {**plan.to_json(), "steps": steps}


async def fill(store: Store, accounts: Accounts) -> None:
    for name, role in (("ada", "admin"), ("olga", "operator"), ("vic", "viewer")):
        await accounts.add_user(name, cast(Any, role), password=PASSWORD)
    await store.put_guests("homelab", guests(), whole=True)
    await store.put_drift(
        [
            Drift(
                0,
                "homelab",
                Ref("Container", "docs"),
                "attic",
                10042,
                "memory",
                "1Gi",
                "4Gi",
                before(minutes=6),
                "root@pam",
                "UPID:pve1:0001F2A4:04C2B1D0:69207E11:vzset:10042:root@pam:",
            )
        ],
        "homelab",
    )
    subjects = (
        "Give docs four cores",
        "The wiki moves to Debian 13",
        "A broker for the sensors",
        "Photos get their own disk",
        "First guests",
    )
    for place, (revision, subject) in reversed(list(enumerate(zip(REVISIONS, subjects, strict=True)))):
        at = before(hours=3 + 20 * place)
        await store.add_revision(Revision("homelab", revision, "Ada Lindqvist", subject, at, None, at))
    await store.put_source(
        "homelab", seen=REVISIONS[0], synced=REVISIONS[0], fetched_at=before(seconds=40), synced_at=before(hours=3)
    )
    await store.put_source(
        "lab",
        seen=REVISIONS[3],
        synced=REVISIONS[4],
        fetched_at=before(minutes=9),
        error="git answers: Permission denied (publickey). Give the source a key: credentials.sshKey",
    )
    await _jobs(store)
    for minutes, who, action, target, detail in (
        (6, "ada", "approve", "job 3", "9ac1f0e2"),
        (9, "ada", "sync", "homelab", "job 3"),
        (44, "olga", "snapshot", "homelab Container/wiki", "job 2 before-upgrade"),
        (180, "ada", "sign-in", "session", "password"),
    ):
        await store.audit(Entry(before(minutes=minutes), who, action, target, detail, "192.0.2.17"))


async def _jobs(store: Store) -> None:
    async def job(request: Request, **changes: Any) -> int:
        made = await store.add_job(request)
        state = changes.pop("state")
        if state != "pending":
            await store.update_job(made.id, ("pending",), state=state, **changes)
        return made.id

    done = plan_json(Plan((Step("create", Ref("Container", "broker"), "attic", "pve1", 10044, reason="new"),)))
    done["steps"] = [{**step, "result": "done"} for step in done["steps"]]
    await job(
        Request("sync", "homelab", REVISIONS[2], trigger="webhook", actor="webhook:71c2"),
        state="succeeded",
        started_at=before(hours=3, seconds=20),
        finished_at=before(hours=3),
        revision=REVISIONS[2],
        summary="1 created, 41 unchanged",
        result=done,
    )
    await job(
        Request("snapshot", "homelab", only=("Container/wiki",), trigger="portal", actor="olga"),
        state="succeeded",
        started_at=before(minutes=44, seconds=8),
        finished_at=before(minutes=44),
        summary="snapshot before-upgrade taken",
    )
    plan = replacement()
    await job(
        Request("sync", "homelab", REVISIONS[0], trigger="webhook", actor="webhook:88d0"),
        state="waiting",
        started_at=before(minutes=9),
        revision=REVISIONS[0],
        summary="1 replacement and 1 deletion wait for an approval",
        digest=plan.digest,
        result=plan_json(plan),
    )
    failed = plan_json(Plan((Step("update", Ref("VirtualMachine", "photos"), "attic", "pve2", 10046, "restart"),)))
    error = "storage local-zfs on pve2 has 3 GiB left; the disk wants 12 GiB more"
    failed["steps"] = [{**step, "result": "failed", "error": error} for step in failed["steps"]]
    await job(
        Request("rollback", "homelab", trigger="portal", actor="ada"),
        state="failed",
        started_at=before(minutes=31),
        finished_at=before(minutes=30),
        revision=REVISIONS[1],
        error=error,
        result=failed,
    )
    running = plan_json(replacement())
    running["steps"] = [{**step, "result": "done"} if step["name"] == "docs" else step for step in running["steps"]]
    await job(
        Request("sync", "lab", REVISIONS[3], trigger="timer"),
        state="running",
        started_at=before(seconds=25),
        revision=REVISIONS[3],
        result=running,
    )
    for level, guest, phase, message in (
        ("info", "", "", f"fetched {REVISIONS[3][:10]} of main"),
        ("info", "", "plan", "1 to create, 1 to update, 1 to replace, 1 to delete; 34 unchanged"),
        ("info", "Container/docs", "configure", "cpu.cores 2 → 4, memory 4Gi → 1Gi"),
        ("info", "Container/docs", "verify", "as declared"),
        ("warning", "Container/wiki", "shutdown", "does not shut down by itself within 60 s; stopping it"),
        ("info", "Container/wiki", "clone", "copying debian-13 to local-zfs"),
        ("error", "Container/odd", "note", f"the guest says: {HOSTILE}"),
    ):
        await store.log(5, cast(Any, level), message, guest=guest, phase=phase)


PROFILES = (
    ProfileOptions(
        "static-website",
        "Files from a directory, served by nginx or Apache; may have a domain behind Caddy",
        ("Container", "VirtualMachine"),
        {
            "cpu.cores": AllowedRange(min=1, max=4),
            "memory": AllowedRange(min="256Mi", max="4Gi"),
            "rootDisk.size": AllowedRange(min="2Gi", max="64Gi"),
        },
        1,
        512,
        4,
        ("rsync",),
        "nginx",
        True,
        True,
        ("publish-caddy",),
        True,
    ),
    ProfileOptions(
        "web-app",
        "A web server in front of an application, with a health endpoint; may have a domain behind Caddy",
        ("Container", "VirtualMachine"),
        {"memory": AllowedRange(min="512Mi", max="16Gi")},
        2,
        1024,
        8,
        ("git",),
        "nginx",
        True,
        True,
        ("publish-caddy", "register-health"),
        True,
    ),
    ProfileOptions(
        "generic-service",
        "A guest with the usual tools and a firewall; never public by default",
        ("Container", "VirtualMachine"),
        {"cpu.cores": AllowedRange(min=1, max=8)},
        1,
        1024,
        8,
        ("git", "htop", "jq", "rsync"),
        bundled=True,
    ),
    ProfileOptions(
        "monitoring-node",
        "A node exporter for Prometheus, curl and git; not public",
        ("Container", "VirtualMachine"),
        {"cpu.cores": AllowedRange(min=1, max=4)},
        1,
        512,
        4,
        ("curl", "git"),
        actions=("register-monitoring",),
        bundled=True,
    ),
)


@dataclass(frozen=True)
class _Finding:
    topic: str
    status: str
    text: str
    advice: str = ""

    def to_json(self) -> dict[str, object]:
        return dict(vars(self))


class _Repository:
    async def blame(self, revision: str, path: str, line: int) -> Commit | None:
        return (await self.log())[line % 2]

    async def log(self, limit: int = 50, path: str = "") -> tuple[Commit, ...]:
        return (
            Commit(REVISIONS[0], "Ada Lindqvist", "ada@example.org", "Give docs four cores", before(hours=3)),
            Commit(REVISIONS[4], "Ada Lindqvist", "ada@example.org", "First guests", before(days=12)),
        )


class Staged(Commands):
    """The real commands, but for what is asked of clusters and git."""

    async def options(self, source: str = "") -> FormOptions:
        cluster = ClusterOptions(
            "attic",
            ("pve1", "pve2", "pve3"),
            ("local-zfs", "nas"),
            ("vmbr0", "vmbr1"),
            ("debian-12", "debian-13"),
            ("debian-12-cloud",),
            10051,
            "10.0.10.51/24",
            "10.0.10.1",
        )
        return FormOptions(source or "homelab", ("homelab",), (cluster,), PROFILES, "guests", False)

    async def profiles(self) -> Sequence[ProfileOptions]:
        return PROFILES

    async def form_of(self, source: str, ref: Ref) -> Form:
        return Form(source, name=ref.name, profile="static-website", cluster="attic", memory=1024, original=str(ref))

    async def preview(self, actor: Actor, form: Form) -> Preview:
        problems = []
        if not form.name:
            problems.append(Problem("name", Diagnostic("error", "Required", "a guest needs a name")))
        if form.memory is not None and form.memory > 4096:
            problems.append(
                Problem("memory", Diagnostic("error", "NotAllowed", "static-website allows 256Mi to 4Gi of memory"))
            )
        spec = {"cluster": form.cluster, "profile": form.profile, "memory": f"{form.memory}Mi"}
        text = to_yaml([manifest(form.kind, form.name, spec)])
        step = Step(
            "create",
            form.ref,
            "attic",
            "pve1",
            10051,
            changes=(Change("memory", None, "512Mi"), Change("rootDisk.size", None, "4Gi")),
            reason="declared and not there",
        )
        service: dict[str, object] = {}
        if form.expose:
            service = {"name": form.name, "type": "proxy", "domain": form.domain, "headers": True, "auth": False}
        files = (FileChange(f"guests/{form.name}.yaml", text),)
        return Preview(files, Plan((step,)), tuple(problems), REVISIONS[0], service, ("publish-caddy",))

    async def snapshots(self, source: str, ref: Ref) -> Sequence[Snapshot]:
        return (
            Snapshot("before-upgrade", before(hours=18), "taken before revision 4be07d0123"),
            Snapshot("nightly-1", before(hours=9)),
        )

    async def tasks(self, source: str, ref: Ref) -> Sequence[Task]:
        return (
            Task("UPID:1", "pve1", "vzset", "root@pam", before(minutes=6), before(minutes=6), "OK"),
            Task("UPID:2", "pve1", "vzdump", "root@pam", before(hours=7), before(hours=7), "job errors"),
        )

    async def nodes(self, cluster: str) -> Sequence[NodeUse]:
        gib = 1 << 30
        return (
            NodeUse(
                "attic",
                "pve1",
                True,
                16,
                0.31,
                64 * gib,
                39 * gib,
                900 * gib,
                410 * gib,
                90_000,
                15,
                13,
                58 * gib,
                412,
                18,
            ),
            NodeUse(
                "attic",
                "pve2",
                True,
                8,
                0.72,
                32 * gib,
                28 * gib,
                450 * gib,
                391 * gib,
                90_000,
                14,
                14,
                41 * gib,
                388,
                22,
            ),
            NodeUse("attic", "pve3", False, 8, 0, 32 * gib, 0, 450 * gib, 0, 0, 14, 0, 30 * gib, 2, 0),
        )

    async def doctor(self, cluster: str) -> Sequence[Any]:
        return (
            _Finding("connection", "ok", "https://pve1.lan:8006 lets innkeeper@pve!token in"),
            _Finding("tls", "ok", "the certificate is good for 211 days"),
            _Finding(
                "privileges",
                "warning",
                "the token may not take snapshots on /vms",
                "pveum acl modify /vms --tokens 'innkeeper@pve!token' --roles PVEVMAdmin",
            ),
        )


@dataclass
class Portal:
    """A served portal; `url` without a slash at its end."""

    url: str
    store: Store
    accounts: Accounts
    loop: asyncio.AbstractEventLoop
    parts: Parts

    def wait(self, asked: Any) -> Any:
        """What the server's own loop answers."""
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(20)


def _house(folder: Path, store: Store) -> House:
    origin = Origin(Location("server.yaml"))
    credentials = Credentials.model_validate({"file": "/run/token"})
    cluster = ClusterSpec(endpoints=("https://pve1.lan:8006",), credentials=credentials)
    sources = {
        name: Source(name, SourceSpec.model_validate({"url": url, "write": "guests", "prune": True}), origin)
        for name, url in (
            ("homelab", "https://git.example.org/ada/homelab.git"),
            ("lab", "ssh://git@git.example.org/lab.git"),
        )
    }
    return House(
        sources=sources,
        clusters={"attic": Cluster("attic", cluster, origin)},
        server=ServerSpec(),
        store=store,
        queue=open_queue(folder, store),
        bus=open_bus(folder),
        links=cast(Any, None),
        insides=cast(Any, None),
        repositories={name: cast(Any, _Repository()) for name in sources},
        now=lambda: datetime.now(UTC),
    )


@contextmanager
def served(folder: Path) -> Iterator[Portal]:
    """The scene on a free port of this machine, until the block ends."""
    ready: list[Portal] = []
    begun, failed = threading.Event(), []
    server: list[uvicorn.Server] = []

    async def run() -> None:
        store, accounts = await open_store(folder)
        await fill(store, accounts)
        house = _house(folder, store)
        sock = uvicorn.Config("x", host="127.0.0.1", port=0).bind_socket()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        parts = Parts(store, accounts, Staged(house), house.bus, url)
        one = uvicorn.Server(
            uvicorn.Config(create_app(parts), log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        )
        server.append(one)
        ready.append(Portal(url, store, accounts, asyncio.get_running_loop(), parts))
        begun.set()
        await one.serve([sock])
        await store.close()

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failed.append(error)
            begun.set()
            raise

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    begun.wait(30)
    assert ready, failed
    try:
        yield ready[0]
    finally:
        server[0].should_exit = True
        thread.join(10)
