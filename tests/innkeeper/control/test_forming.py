"""A form becomes a commit, the commit a guest; edits and deletions go the same way."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from innkeeper.control.forms import Form
from innkeeper.control.ports import Service
from innkeeper.control.watching import Watch
from innkeeper.engine.errors import Stalled
from innkeeper.model.objects import Ref
from tests.innkeeper.control.home import ADA, Home, container, home, until

WEB = Ref("Container", "web")
FORM = Form(
    source="home",
    name="web",
    profile="",
    cluster="lab",
    node="pve1",
    storage="btr",
    template="debian-12-standard",
    cores=2,
    memory=512,
    disk=4,
    network="static",
    address="10.0.0.30/24",
    gateway="10.0.0.1",
    bridge="vmbr0",
    description="The website: # of 'Ada'",
)
WRITES = "write: guests"


async def synced(house: Home, job_id: int) -> None:
    job = await house.done(await house.commands.job(job_id))
    assert job.state == "succeeded", job.error
    following = await house.commands.job(int(str(job.result["job"])))
    done = await house.done(following)
    assert done.state == "succeeded", done.error


async def test_options_are_what_exists(tmp_path: Path) -> None:
    async with home(tmp_path, WRITES) as house:
        nic = "[{name: eth0, ip: 10.0.0.2/24, gateway: 10.0.0.1}]"
        house.upstream.push(db=container("db", 10000, network=nic))
        await house.sync()
        options = await house.commands.options()
        (cluster,) = options.clusters
        assert (options.source, options.sources, options.below) == ("home", ("home",), "guests")
        assert (cluster.nodes, cluster.bridges) == (("pve1", "pve2", "pve3"), ("vmbr0", "vmbr1"))
        assert cluster.storages == ("btr", "local", "nas")
        assert cluster.templates == ("debian-12-standard",)
        assert (cluster.next_vmid, cluster.next_address, cluster.gateway) == (10001, "10.0.0.3/24", "10.0.0.1")
        names = {item.name: item for item in options.profiles}
        assert names["static-website"].may_have_domain
        assert not names["generic-service"].may_be_public
        assert str(names["static-website"].allowed["memory"].min) == "256Mi"


async def test_profiles_are_known_without_asking_anybody(tmp_path: Path) -> None:
    async with home(tmp_path, WRITES) as house:
        assert {item.bundled for item in await house.commands.profiles()} == {True}
        house.upstream.push(
            db=container("db", 10000),
            own="apiVersion: innkeeper.dev/v1alpha1\nkind: Profile\nmetadata: {name: shop}\n"
            "spec:\n  supportedKinds: [Container]\n"
            "  allowed: {memory: {min: 256Mi, max: 2Gi}}\n  defaults: {cpu: {cores: 2}}\n",
        )
        await house.sync()
        house.calls.clear()
        shop = next(item for item in await house.commands.profiles() if item.name == "shop")
        assert (shop.bundled, shop.cores, shop.kinds) == (False, 2, ("Container",))
        assert shop.allowed["memory"].max == "2Gi"
        assert not house.calls


async def test_a_form_becomes_a_guest(tmp_path: Path) -> None:
    async with home(tmp_path, WRITES) as house:
        house.upstream.push("nothing yet")
        shown = await house.commands.preview(ADA, FORM)
        assert shown.ok, shown.problems
        assert [item.path for item in shown.files] == ["guests/container-web.yaml"]
        assert shown.plan is not None
        assert [(step.action, str(step.ref)) for step in shown.plan.steps] == [("create", "Container/web")]
        assert house.writes == [], "a preview changes nothing"
        job = await house.commands.propose(ADA, FORM)
        await synced(house, job.id)
        (made,) = house.guests.values()
        assert (made.config["hostname"], made.config["memory"], made.config["cores"]) == ("web", "512", "2")
        house.upstream.pull()
        assert house.upstream.text("guests/container-web.yaml") == shown.files[0].text
        assert house.upstream.git("log", "-1", "--format=%an %s") == "ada Add Container/web"
        audits = [(item.actor, item.action) for item in await house.house.store.audits()]
        assert ("ada", "create") in audits
        again = await house.commands.preview(ADA, FORM)
        assert [(item.field, item.diagnostic.code) for item in again.problems][-1] == ("name", "Taken")


async def test_an_edit_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    text = container("web", 101).replace("memory: 512Mi", "memory: 512Mi  # enough for now")
    async with home(tmp_path, WRITES) as house:
        house.upstream.push(**{"guests/web": text})
        assert (await house.sync()).state == "succeeded"
        form = await house.commands.form_of("home", WEB)
        assert (form.memory, form.disk, form.node, form.original) == (512, 4, "pve1", "Container/web")
        job = await house.commands.propose(ADA, replace(form, memory=1024))
        await synced(house, job.id)
        assert house.guests[101].config["memory"] == "1024"
        house.upstream.pull()
        assert house.upstream.text("guests/web.yaml") == text.replace("512Mi  #", "1024Mi  #")
        with pytest.raises(Stalled, match="nothing would change"):
            await house.commands.propose(ADA, replace(form, memory=1024))


async def test_a_deletion_asks_for_the_name(tmp_path: Path) -> None:
    async with home(tmp_path, WRITES, "prune: true") as house:
        house.upstream.push(**{"guests/web": container("web", 101), "guests/db": container("db", 102)})
        await house.sync()
        with pytest.raises(Stalled, match="Type web"):
            await house.commands.delete(ADA, "home", WEB, name_typed="db")
        job = await house.commands.delete(ADA, "home", WEB, name_typed="web")
        await synced(house, job.id)
        assert sorted(house.guests) == [102]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"memory": 1, "profile": "static-website"}, "memory"),
        ({"name": "-web"}, "name"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"node": "pve9"}, "node"),
        ({"storage": "nowhere"}, "storage"),
        ({"bridge": "vmbr9,tag=7"}, "bridge"),
        ({"address": "10.0.0.300/24"}, "address"),
        ({"address": "10.0.0.2/24"}, "address"),
        ({"address": ""}, "address"),
        ({"expose": True}, "domain"),
        ({"expose": True, "domain": "javascript:alert(1)"}, "domain"),
        ({"expose": True, "domain": "a.example.org", "profile": "generic-service"}, "domain"),
        ({"vlan": 9999}, "vlan"),
        ({"hostname": "a b"}, "hostname"),
        ({"profile": "nothing"}, "profile"),
        ({"ssh_keys": ("not a key",)}, "ssh_keys"),
    ],
)
async def test_what_is_wrong_is_told_at_its_field(tmp_path: Path, changes: dict[str, object], field: str) -> None:
    async with home(tmp_path, WRITES) as house:
        house.upstream.push(db=container("db", 102, network="[{name: eth0, ip: 10.0.0.2/24, gateway: 10.0.0.1}]"))
        await house.sync()
        house.calls.clear()
        form = replace(FORM, **changes)  # type: ignore[arg-type]
        shown = await house.commands.preview(ADA, form)
        assert not shown.ok
        assert field in [item.field for item in shown.problems], shown.problems
        with pytest.raises(Stalled):
            await house.commands.propose(ADA, form)
        assert house.writes == []


async def test_a_source_without_a_place_for_forms_takes_none(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push("nothing yet")
        with pytest.raises(Stalled, match="may not write"):
            await house.commands.propose(ADA, FORM)


async def test_a_stale_form_does_not_overwrite(tmp_path: Path) -> None:
    async with home(tmp_path, WRITES, keep_queue=False) as house:
        house.upstream.push(**{"guests/web": container("web", 101)})
        form = await house.commands.form_of("home", WEB)
        job = await house.commands.propose(ADA, replace(form, memory=1024))
        house.upstream.push(**{"guests/web": container("web", 101, memory="2Gi")})
        await house.worker(job.id)
        done = await house.commands.job(job.id)
        assert done.state == "failed"
        assert "changed since" in done.error
        house.upstream.pull()
        assert "2Gi" in house.upstream.text("guests/web.yaml")


async def test_drift_is_written_into_the_manifest(tmp_path: Path) -> None:
    text = container("web", 101).replace("memory: 512Mi", "memory: 512Mi  # enough for now")
    async with home(tmp_path, WRITES, "selfHeal: false") as house:
        house.upstream.push(**{"guests/web": text})
        await house.sync()
        watch = asyncio.create_task(Watch(house.house, 0.2).run())
        await house.by_hand("PUT", "{101}/config", memory="2048")

        async def seen() -> bool:
            return bool(await house.house.store.drifts())

        await until(seen)
        (drift,) = await house.house.store.drifts()
        job = await house.commands.adopt_drift(ADA, drift.id)
        await synced(house, job.id)
        assert house.guests[101].config["memory"] == "2048"
        house.upstream.pull()
        assert house.upstream.text("guests/web.yaml") == text.replace("512Mi  #", "2Gi  #")
        assert await house.house.store.drifts() == ()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


EXPOSED = {
    "running": "true",
    "network": "[{name: eth0, ip: 10.0.0.30/24, gateway: 10.0.0.1}]",
    "expose": "{domain: www.example.org, port: 8080}",
}


GONE: dict[str, Any] = {"guests/web": None}


class Told:
    """A publisher that remembers what it was told last."""

    name = "told"
    domains: tuple[str, ...] = ()

    async def publish(self, services: Iterable[Service]) -> tuple[str, ...]:
        self.domains = tuple(item.expose.domain for item in services if item.expose)
        return ()


@pytest.mark.parametrize("beside", [{}, {"notes": "apiVersion: innkeeper.dev/v1alpha1\nkind: Profile\n"
                                         "metadata: {name: small}\nspec: {defaults: {memory: 512Mi}}\n"}],
                         ids=["an empty repository", "nothing else on the cluster"])  # fmt: skip
@pytest.mark.parametrize("merged", [False, True], ids=["deleted in the portal", "merged"])
async def test_the_last_guest_goes_by_an_approval(tmp_path: Path, beside: dict[str, str], merged: bool) -> None:
    async with home(tmp_path, WRITES, "prune: true") as house:
        told = Told()
        object.__setattr__(house.house, "publishers", (told,))
        house.upstream.push(**{"guests/web": container("web", 101, **EXPOSED), **beside})
        assert (await house.sync()).state == "succeeded"
        if merged:
            house.upstream.push(**GONE)
            waiting = await house.sync()
        else:
            commit = await house.done(await house.commands.delete(ADA, "home", WEB, name_typed="web"))
            waiting = await house.done(await house.commands.job(int(str(commit.result["job"]))))
        assert (waiting.state, waiting.summary) == ("waiting", "1 to delete"), waiting.error
        why = "nothing of ours would stay declared on cluster lab"
        assert why in str(waiting.result["steps"]), "the page of the plan tells why it waits"
        assert why in await house.said(waiting)
        assert (sorted(house.guests), told.domains) == ([101], ("www.example.org",))
        with pytest.raises(Stalled, match="web"):
            await house.commands.approve(ADA, waiting.id, waiting.digest)
        done = await house.done(await house.commands.approve(ADA, waiting.id, waiting.digest, names=["web"]))
        assert (done.state, done.error, house.guests, told.domains) == ("succeeded", "", {}, ())
        assert (await house.sync()).state == "succeeded"


async def test_each_of_the_last_is_named(tmp_path: Path) -> None:
    async with home(tmp_path, WRITES, "prune: true", "maxDeletes: 1") as house:
        house.upstream.push(**{"guests/web": container("web", 101), "db": container("db", 102, protected="true")})
        assert (await house.sync()).state == "succeeded"
        house.upstream.push(db=container("db", 102, protected="false"))
        assert (await house.sync()).state == "succeeded"
        house.upstream.push(**GONE, db=None)
        job = await house.sync()
        assert (job.state, sorted(house.guests)) == ("waiting", [101, 102])
        with pytest.raises(Stalled, match="db"):
            await house.commands.approve(ADA, job.id, job.digest, names=["web"])
        done = await house.done(await house.commands.approve(ADA, job.id, job.digest, names=["web", "db"]))
        assert (done.state, house.guests) == ("succeeded", {}), done.error


async def test_where_nothing_is_pruned_an_empty_repository_leaves_all_as_it_is(tmp_path: Path) -> None:
    async with home(tmp_path, "selfHeal: false") as house:
        house.upstream.push(web=container("web", 101))
        assert (await house.sync()).state == "succeeded"
        house.upstream.push(web=None)
        job = await house.sync()
        assert (job.state, sorted(house.guests)) == ("succeeded", [101])
        assert [item.type for item in (await house.record("web")).conditions] == ["Orphaned"]
        await Watch(house.house).look(house.house.sources["home"])
        assert [item.type for item in (await house.record("web")).conditions] == ["Orphaned"]
