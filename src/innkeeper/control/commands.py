"""The one door: everything that a page, the API, a webhook or a command line can ask of the control plane.

Each writing command is one line of the audit log and one job on the same queue. Raises NotFound, Denied, Stalled (a
person must act), Conflict (the world moved: look again) or Waiting (later).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from innkeeper.control import branches, clusters, forming, looking, offering
from innkeeper.control.actors import Actor
from innkeeper.control.errors import NotFound
from innkeeper.control.forms import Form, FormOptions, Preview, ProfileOptions
from innkeeper.control.house import House
from innkeeper.control.looking import Overview
from innkeeper.control.operating import snapshot_name
from innkeeper.control.ports import Finding, Hint, NodeUse, Snapshot, Task
from innkeeper.control.requests import request
from innkeeper.engine.errors import Conflict, Stalled
from innkeeper.model.jobs import ENDED, Job, JobType, Request
from innkeeper.model.objects import Cluster, Ref
from innkeeper.model.plan import Json
from innkeeper.model.records import Drift, Entry

Power = Literal["start", "stop", "shutdown", "reboot"]


@dataclass(frozen=True, slots=True)
class Commands:
    """What may be asked. Who may ask is checked by whoever lets people in (`Actor.role`)."""

    house: House

    async def sync(
        self,
        actor: Actor,
        source: str,
        *,
        revision: str = "",
        only: Sequence[str] = (),
        replace: Sequence[str] = (),
        prune: bool = False,
        configure: Literal["always", "changed", "never"] = "changed",
        snapshot: bool = False,
    ) -> Job:
        """Bring guests to what a revision declares. `prune` and `replace` still wait for an approval."""
        payload: dict[str, Json] = {}
        if replace:
            payload["replace"] = list(replace)
        if prune:
            payload["prune"] = True
        if configure != "changed":
            payload["configure"] = configure
        if snapshot:
            payload["snapshot"] = True
        return await self._job(actor, "sync", source, payload, revision=revision, only=only)

    async def plan(self, actor: Actor, source: str, *, ref: str = "", only: Sequence[str] = ()) -> Job:
        """What a sync would do, of the newest revision or of any ref of the repository; nothing is changed."""
        return await self._job(actor, "plan", source, {"ref": ref, "trusted": True} if ref else {}, only=only)

    async def approve(self, actor: Actor, job: int, digest: str, *, names: Sequence[str] = ()) -> Job:
        """Let exactly this plan go. `names`: of every guest that it destroys, as a person typed them."""
        found = await self.job(job)
        if found.state != "waiting":
            raise Conflict(f"job {job} does not wait for an approval: it is {found.state}")
        if found.digest != digest:
            raise Conflict("the plan has changed since it was shown", "Look at the new plan, and approve that.")
        if missing := sorted(set(destroyed(found)) - set(names)):
            raise Stalled(
                f"this destroys {', '.join(missing)}", "Type the name of every guest that is destroyed, to confirm it."
            )
        if missing := sorted(set(taken_back(found)) - set(names)):
            said = f"this takes {', '.join(missing)} back to a snapshot"
            raise Stalled(said, "Type the name of every guest that is taken back, to confirm it.")
        done = await self.house.store.update_job(job, ("waiting",), state="pending", approved_by=actor.name)
        if done is None or done.digest != digest:
            raise Conflict(f"job {job} does not wait for an approval any more")
        await self._audit(actor, "approve", f"job {job}", digest)
        self._told(done)
        await self.house.queue.submit(done)
        return done

    async def cancel(self, actor: Actor, job: int) -> Job:
        """A job that runs stops at a safe point: the call that is under way is awaited, no other one is begun."""
        found = await self.job(job)
        done = await self.house.store.update_job(
            job, ("pending", "waiting"), state="cancelled", finished_at=self.house.now(), summary="cancelled"
        )
        if done is None:
            if found.state in ENDED:
                raise Conflict(f"job {job} has ended already: {found.state}")
            await self.house.store.put_value(f"cancel/{job}", actor.name or "Innkeeper")
            done = found
        await self._audit(actor, "cancel", f"job {job}")
        self._told(done)
        return done

    async def retry(self, actor: Actor, job: int) -> Job:
        """The same wish once more, as a new job."""
        found = await self.job(job)
        if found.state not in ENDED:
            raise Conflict(f"job {job} has not ended: it is {found.state}")
        await self._audit(actor, "retry", f"job {job}")
        wish = found.request
        again = Request(wish.type, wish.source, wish.revision, wish.only, actor.via, actor.name, wish.payload)
        return await request(self.house, again, retry_of=job)

    async def webhook(self, source: str, hint: Hint) -> tuple[Job | None, str]:
        """What a genuine webhook leads to: a job, or none and the reason. It chooses nothing but the moment.

        Its delivery counts as received once its job is recorded: whoever got no answer is heard when they try again.
        """
        house = self.house
        house.source(source)
        if hint.delivery and await house.store.delivered(source, hint.delivery):
            return None, "this delivery was received before"
        job, reason = await self._hinted(source, hint)
        if hint.delivery:
            await house.store.add_delivery(source, hint.delivery, house.now())
        return job, reason

    async def _hinted(self, source: str, hint: Hint) -> tuple[Job | None, str]:
        house, found = self.house, self.house.source(source)
        spec = found.spec
        actor = Actor(f"webhook:{hint.delivery}" if hint.delivery else "webhook", "operator", via="webhook")
        if hint.pull is not None:
            return await self._proposed(actor, source, hint)
        if hint.branch and hint.branch not in (spec.branch, *spec.beside):
            return None, f"branch {hint.branch} is not what source {source} follows ({spec.branch})"
        if hint.deleted:
            return None, f"branch {hint.branch or spec.branch} was deleted: nothing is changed"
        if hint.branch in spec.beside:
            if hint.after and hint.after == await branches.stands_at(house, found, hint.branch):
                return None, f"what branch {hint.branch} asks for at {hint.after} is done already"
            return await self._job(actor, branches.DOES[hint.branch], source, {"branch": hint.branch}), "accepted"
        record = await house.store.source(source)
        there = hint.after and hint.after == record.synced == record.seen  # else the branch came back to it
        if there and not await self._busy(source):
            return None, f"revision {hint.after} is synced already"
        return await self._job(actor, "sync", source, {}), "accepted"

    async def _busy(self, source: str) -> bool:
        """Whether a sync is under way or waits, which may leave the source at another revision than it is at now."""
        jobs = await self.house.store.jobs(states=("pending", "running", "waiting"), source=source)
        return any(job.request.type in ("sync", "rollback") for job in jobs)

    async def _proposed(self, actor: Actor, source: str, hint: Hint) -> tuple[Job | None, str]:
        if source not in self.house.forges:
            return None, f"source {source} names no forge: pull requests are not planned"
        if hint.closed:
            return None, "the pull request is closed"
        payload: dict[str, Json] = {"ref": hint.ref, "pull": hint.pull, "trusted": not hint.fork}
        return await self._job(actor, "plan", source, payload), "accepted"

    async def rollback(self, actor: Actor, source: str, to: str, *, snapshot: bool = False) -> Job:
        """Back to an earlier revision: its plan waits for an approval, then the source is held there."""
        revision = await self.house.repository(source).resolve(to)
        return await self._job(actor, "rollback", source, {"to": revision, "snapshot": snapshot})

    async def release(self, actor: Actor, source: str) -> None:
        """Let a source that a rollback holds follow its branch again."""
        self.house.source(source)
        await self.house.store.put_source(source, pinned="")
        await self._audit(actor, "release", source)
        self.house.bus.tell("source", {"name": source})
        await request(self.house, Request("sync", source, trigger=actor.via, actor=actor.name))

    async def suspend(self, actor: Actor, source: str, on: bool) -> None:
        """While a source is suspended nothing of it is changed by itself."""
        self.house.source(source)
        await self.house.store.put_source(source, suspended=on)
        await self._audit(actor, "suspend" if on else "resume", source)
        self.house.bus.tell("source", {"name": source})

    async def heal(self, actor: Actor, source: str, ref: Ref) -> Job:
        """Bring one guest back to what is declared."""
        return await self._job(actor, "sync", source, {}, only=(str(ref),))

    async def ignore_drift(self, actor: Actor, drift: int, until: datetime | None) -> Drift:
        """Leave one field of one guest as it is, until a date; None: not any more."""
        found = await self.house.store.ignore_drift(drift, until)
        if found is None:
            raise NotFound(f"there is no drift {drift}")
        await self._audit(actor, "ignore", f"{found.ref} {found.field}", until.isoformat() if until else "no more")
        self.house.bus.tell("drift", {"id": drift, "source": found.source})
        return found

    async def snapshot(self, actor: Actor, source: str, ref: Ref, name: str, *, keep: int = 0) -> Job:
        """Take a snapshot of a guest. `keep`: only the newest so many of Innkeeper's own are left; 0: all."""
        return await self._job(actor, "snapshot", source, {"name": snapshot_name(name), "keep": keep}, only=(str(ref),))

    async def delete_snapshot(self, actor: Actor, source: str, ref: Ref, name: str) -> Job:
        return await self._job(
            actor, "snapshot", source, {"name": snapshot_name(name), "delete": True}, only=(str(ref),)
        )

    async def restore(self, actor: Actor, source: str, ref: Ref, name: str) -> Job:
        """Back to a snapshot; what the guest has become since is lost."""
        return await self._job(actor, "restore", source, {"name": snapshot_name(name)}, only=(str(ref),))

    async def power(self, actor: Actor, source: str, ref: Ref, action: Power) -> Job:
        return await self._job(actor, "power", source, {"action": action}, only=(str(ref),))

    async def adopt_drift(self, actor: Actor, drift: int, *, pull: bool = False) -> Job:
        """Write what a guest has become into its manifest, by a commit or a pull request."""
        found = next((item for item in await self.house.store.drifts() if item.id == drift), None)
        if found is None:
            raise NotFound(f"there is no drift {drift}", "It may be over: look again.")
        job = await forming.adopt_drift(self.house, actor, found, pull=pull)
        await self._audit(actor, "adopt", f"{found.ref} {found.field}", f"job {job.id}")
        return job

    async def options(self, source: str = "") -> FormOptions:
        """What a form may offer; of the first source that forms may write to, where none is named."""
        return await offering.options(self.house, source)

    async def profiles(self) -> Sequence[ProfileOptions]:
        """What a new workload may be; of the first source that forms may write to."""
        return await offering.profiles(self.house, offering.first(self.house))

    async def form_of(self, source: str, ref: Ref) -> Form:
        """The form that edits a guest."""
        return await forming.form_of(self.house, source, ref)

    async def preview(self, actor: Actor, form: Form) -> Preview:
        """All that a form would write, with the plan; nothing is changed."""
        return await forming.preview(self.house, form)

    async def propose(self, actor: Actor, form: Form, *, pull: bool = False) -> Job:
        """Commit what a form says (or open a pull request); the sync follows the commit."""
        job = await forming.propose(self.house, actor, form, pull=pull)
        await self._audit(actor, "change" if form.original else "create", f"{form.source} {form.ref}", f"job {job.id}")
        return job

    async def delete(self, actor: Actor, source: str, ref: Ref, *, name_typed: str, pull: bool = False) -> Job:
        """Take a guest out of its manifests; it is destroyed by the sync that follows, where the source may prune.

        The last one on its cluster waits there for an approval, as it does however it goes out of the repository.
        """
        job = await forming.delete(self.house, actor, source, ref, name_typed, pull=pull)
        await self._audit(actor, "delete", f"{source} {ref}", f"job {job.id}")
        return job

    async def snapshots(self, source: str, ref: Ref) -> Sequence[Snapshot]:
        return await looking.snapshots(self.house, source, ref)

    async def tasks(self, source: str, ref: Ref) -> Sequence[Task]:
        """What Proxmox did with a guest, newest first."""
        return await looking.tasks(self.house, source, ref)

    async def clusters(self) -> Mapping[str, Cluster]:
        """The server's, and those that repositories declare themselves."""
        return await clusters.every(self.house)

    async def cluster(self, name: str) -> Cluster:
        return await clusters.cluster(self.house, name)

    async def nodes(self, cluster: str) -> Sequence[NodeUse]:
        return await looking.nodes(self.house, cluster)

    async def doctor(self, cluster: str) -> Sequence[Finding]:
        """What stands in the way of keeping this cluster."""
        return await looking.doctor(self.house, cluster)

    async def overview(self) -> Overview:
        return await looking.overview(self.house)

    async def job(self, job: int) -> Job:
        found = await self.house.store.job(job)
        if found is None:
            raise NotFound(f"there is no job {job}")
        return found

    async def _job(
        self,
        actor: Actor,
        kind: JobType,
        source: str,
        payload: Mapping[str, Json],
        *,
        revision: str = "",
        only: Sequence[str] = (),
    ) -> Job:
        self.house.source(source)
        wish = Request(kind, source, revision, tuple(only), actor.via, actor.name, payload)
        job = await request(self.house, wish)
        what = str(next(filter(None, map(payload.get, ("action", "name", "to", "branch"))), revision))
        await self._audit(actor, kind, " ".join((source, *only)), f"job {job.id} {what}".strip())
        return job

    async def _audit(self, actor: Actor, action: str, target: str, detail: str = "") -> None:
        entry = Entry(self.house.now(), actor.name, action, target, detail, actor.address)
        await self.house.store.audit(entry)

    def _told(self, job: Job) -> None:
        self.house.bus.tell("job", {"id": job.id, "state": job.state, "source": job.request.source})


def destroyed(job: Job) -> tuple[str, ...]:
    """The names of guests that the plan of a waiting job deletes or replaces."""
    steps = job.result.get("steps")
    found = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return tuple(str(step["name"]) for step in found if step["action"] in ("delete", "replace"))


def taken_back(job: Job) -> tuple[str, ...]:
    """The names of guests that a waiting rollback takes back to a snapshot: what they have become since is lost."""
    names = job.result.get("restored")
    return tuple(map(str, names)) if isinstance(names, list) else ()
