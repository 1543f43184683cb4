"""A push becomes guests, and what may not go by itself waits for a person."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from innkeeper.control.actors import Actor
from innkeeper.engine.errors import Conflict, Stalled
from innkeeper.model.objects import Ref
from tests.innkeeper.control.home import ADA, container, home


async def test_a_push_becomes_a_guest(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        revision = house.upstream.push("The website", web=container("web", 101, running="true"))
        job = await house.sync()
        assert (job.state, job.error, job.summary) == ("succeeded", "", "1 to create")
        assert (job.revision, job.request.actor) == (revision, "ada")
        assert house.guests[101].config["hostname"] == "web"
        record = await house.record("web")
        assert (record.sync, record.health, record.vmid, record.power) == ("Synced", "Healthy", 101, "running")
        assert (record.file, record.line, record.revision) == ("web.yaml", 1, revision[:12])
        assert record.desired["memory"] == record.live["memory"] == "512Mi"
        assert "create" in await house.said(job)
        source = await house.house.store.source("home")
        assert (source.seen, source.synced, source.error) == (revision, revision, "")
        (known,) = await house.house.store.revisions("home")
        assert (known.author, known.subject, known.job) == ("Ada", "The website", job.id)
        (entry,) = await house.house.store.audits()
        assert (entry.actor, entry.action, entry.address) == ("ada", "sync", "192.0.2.7")


async def test_a_second_sync_writes_nothing(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        await house.sync()
        house.calls.clear()
        job = await house.sync()
        assert (job.state, job.summary, house.writes) == ("succeeded", "no changes", [])


async def test_a_bad_manifest_changes_nothing_and_says_where(tmp_path: Path) -> None:
    async with home(tmp_path, "prune: true") as house:
        house.upstream.push(web=container("web", 101))
        await house.sync()
        house.calls.clear()
        house.upstream.push(web=None, db=container("db", 102, memory="512"))
        job = await house.sync()
        assert job.state == "failed"
        assert job.error.startswith("db.yaml:7:")
        assert house.writes == []
        assert "db.yaml:7:" in (await house.house.store.source("home")).error
        assert str(tmp_path) not in str(job.result), "a path of this machine is shown"


async def test_an_empty_repository_deletes_nobody(tmp_path: Path) -> None:
    async with home(tmp_path, "prune: true") as house:
        house.upstream.push("nothing yet")
        job = await house.sync()
        assert (job.state, job.summary) == ("succeeded", "nothing is declared yet")
        house.upstream.push(web=container("web", 101))
        await house.sync()
        house.upstream.push(web=None)
        job = await house.sync()
        assert (job.state, sorted(house.guests)) == ("waiting", [101]), "that, too, is for a person"


async def test_a_manual_source_waits_for_exactly_this_plan(tmp_path: Path) -> None:
    async with home(tmp_path, "sync: manual") as house:
        house.upstream.push(web=container("web", 101))
        job = await house.sync()
        assert (job.state, job.summary, house.writes) == ("waiting", "1 to create", [])
        assert job.digest
        with pytest.raises(Conflict, match="has changed"):
            await house.commands.approve(ADA, job.id, "another")
        done = await house.done(await house.commands.approve(ADA, job.id, job.digest))
        assert (done.state, done.approved_by) == ("succeeded", "ada")
        assert 101 in house.guests


async def test_an_approval_of_an_old_plan_does_not_count(tmp_path: Path) -> None:
    async with home(tmp_path, "sync: manual") as house:
        house.upstream.push(web=container("web", 101))
        first = await house.sync()
        await house.done(await house.commands.approve(ADA, first.id, first.digest))
        newest = house.upstream.push(web=container("web", 101, memory="1Gi"))
        job = await house.sync()
        steps: Any = job.result["steps"]
        ((change,),) = (step["changes"] for step in steps)
        assert change == {
            "field": "memory", "from": "512Mi", "to": "1Gi", "impact": "live",
            "file": "web.yaml", "line": 7, "commit": newest,
        }  # fmt: skip
        await house.by_hand("PUT", "{101}/config", cores="4")
        again = await house.done(await house.commands.approve(ADA, job.id, job.digest))
        assert again.state == "waiting"
        assert again.digest != job.digest
        assert house.guests[101].config["memory"] == "512"


async def test_a_replacement_waits_while_the_rest_goes(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101), db=container("db", 102))
        await house.sync()
        house.upstream.push(web=container("web", 111), db=container("db", 102, memory="2Gi"))
        job = await house.sync()
        assert (job.state, sorted(house.guests)) == ("waiting", [101, 102])
        assert house.guests[102].config["memory"] == "2048", "what is harmless goes at once"
        steps: Any = job.result["steps"]
        assert [(step["action"], step["name"], step["refused"]) for step in steps] == [("replace", "web", "")]
        with pytest.raises(Stalled, match="web"):
            await house.commands.approve(ADA, job.id, job.digest)
        done = await house.done(await house.commands.approve(ADA, job.id, job.digest, names=["web"]))
        assert (done.state, sorted(house.guests)) == ("succeeded", [102, 111]), done.error


async def test_a_protected_guest_is_not_replaced_whoever_asks(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101, protected="true"))
        await house.sync()
        house.upstream.push(web=container("web", 111, protected="true"))
        job = await house.sync(replace=["web"])
        assert (job.state, sorted(house.guests)) == ("failed", [101])
        assert "protected" in job.error


async def test_pruning_keeps_to_its_limit_until_a_person_types_the_names(tmp_path: Path) -> None:
    async with home(tmp_path, "prune: true", "maxDeletes: 1") as house:
        names = {f"c{number}": container(f"c{number}", 100 + number) for number in range(1, 5)}
        house.upstream.push(**names)
        assert (await house.sync()).state == "succeeded"
        house.upstream.push(c1=None)
        assert (await house.sync()).state == "succeeded"
        assert 101 not in house.guests
        house.upstream.push(c2=None, c3=None)
        job = await house.sync()
        assert (job.state, sorted(house.guests)) == ("waiting", [102, 103, 104])
        with pytest.raises(Stalled, match="c3"):
            await house.commands.approve(ADA, job.id, job.digest, names=["c2"])
        done = await house.done(await house.commands.approve(ADA, job.id, job.digest, names=["c2", "c3"]))
        assert (done.state, sorted(house.guests)) == ("succeeded", [104])


async def test_without_prune_nothing_is_deleted(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101), db=container("db", 102))
        await house.sync()
        house.upstream.push(web=None)
        job = await house.sync()
        assert (job.state, sorted(house.guests)) == ("succeeded", [101, 102])
        orphan = await house.record("web")
        assert [item.type for item in orphan.conditions] == ["Orphaned"]


async def test_rollback_is_shown_first_and_holds_until_released(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        old = house.upstream.push(web=container("web", 101))
        await house.sync()
        new = house.upstream.push(web=container("web", 101, memory="1Gi"))
        await house.sync()
        assert house.guests[101].config["memory"] == "1024"
        job = await house.done(await house.commands.rollback(ADA, "home", old))
        assert (job.state, job.summary) == ("waiting", "1 to update")
        done = await house.done(await house.commands.approve(ADA, job.id, job.digest))
        assert (done.state, done.error) == ("succeeded", "")
        assert house.guests[101].config["memory"] == "512"
        assert (await house.house.store.source("home")).pinned == old
        held = await house.sync()
        assert (held.revision, house.guests[101].config["memory"]) == (old, "512")
        await house.commands.release(ADA, "home")
        following = (await house.house.store.jobs(limit=1))[0]
        assert (await house.done(following)).revision == new
        assert house.guests[101].config["memory"] == "1024"


async def test_bursts_are_one_job(tmp_path: Path) -> None:
    async with home(tmp_path, keep_queue=False) as house:
        house.upstream.push(web=container("web", 101))
        jobs = {(await house.commands.sync(ADA, "home")).id for _ in range(50)}
        assert len(jobs) == 1


async def test_two_sources_never_share_a_guest(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        await house.sync()
        mine = house.house.sources["home"]
        other = replace(mine, name="other")
        house.house.sources["other"] = other  # type: ignore[index]
        house.house.repositories["other"] = house.house.repositories["home"]  # type: ignore[index]
        house.calls.clear()
        job = await house.done(await house.commands.sync(ADA, "other"))
        assert job.state == "failed"
        assert house.writes == []
        record = await house.record("web", "other")
        assert "OwnershipConflict" in [item.type for item in record.conditions]
        assert (await house.record("web")).sync == "Synced"


async def test_a_suspended_source_is_left_alone_by_webhooks_only(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        await house.commands.suspend(ADA, "home", True)
        hook = Actor("webhook", "operator", via="webhook")
        job = await house.done(await house.commands.sync(hook, "home"))
        assert (job.state, house.writes) == ("succeeded", [])
        assert "suspended" in job.summary
        assert (await house.sync()).summary == "1 to create"


async def test_snapshots_and_back(tmp_path: Path) -> None:
    ref = Ref("Container", "web")
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        await house.sync()
        taken = await house.done(await house.commands.snapshot(ADA, "home", ref, "before"))
        assert taken.state == "succeeded", taken.error
        assert [item.name for item in await house.commands.snapshots("home", ref)] == ["before"]
        await house.by_hand("PUT", "{101}/config", memory="2048")
        back = await house.done(await house.commands.restore(ADA, "home", ref, "before"))
        assert (back.state, house.guests[101].config["memory"]) == ("succeeded", "512"), back.error
        gone = await house.done(await house.commands.delete_snapshot(ADA, "home", ref, "before"))
        assert (gone.state, await house.commands.snapshots("home", ref)) == ("succeeded", ())
        with pytest.raises(Stalled, match="cannot be a snapshot's name"):
            await house.commands.snapshot(ADA, "home", ref, "../../access/users")


async def test_power(tmp_path: Path) -> None:
    ref = Ref("Container", "web")
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        await house.sync()
        for action, state in (("start", "running"), ("reboot", "running"), ("stop", "stopped")):
            job = await house.done(await house.commands.power(ADA, "home", ref, action))  # type: ignore[arg-type]
            running = house.guests[101].running is not None
            assert (job.state, running) == ("succeeded", state == "running"), (action, job.error)
        tasks = await house.commands.tasks("home", ref)
        assert [item.type for item in tasks][:1] == ["vzstop"]
        (node, *_) = await house.commands.nodes("lab")
        assert (node.name, node.online, node.guests) == ("pve1", True, 1)
        assert node.writes > 0
