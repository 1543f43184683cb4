"""What a hand changes is on the page within seconds, with its doer, and is put right, kept or written down."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from innkeeper.control.errors import NotFound
from innkeeper.control.ports import Notice
from innkeeper.control.scheduling import Schedule
from innkeeper.control.watching import Watch
from innkeeper.model.jobs import Request
from innkeeper.model.objects import Ref
from tests.innkeeper.control.home import ADA, CONFIG, Home, container, home, until

WEB = Ref("Container", "web")


@asynccontextmanager
async def watched(place: Path, *sources: str, tick: float = 0.2) -> AsyncIterator[Home]:
    async with home(place, *sources) as house:
        house.upstream.push(web=container("web", 101, running="true"), db=container("db", 102))
        job = await house.sync()
        assert job.state == "succeeded", job.error
        task = asyncio.create_task(Watch(house.house, tick).run())
        try:
            yield house
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_field_that_a_hand_changed_is_seen_and_healed(tmp_path: Path) -> None:
    async with watched(tmp_path, "selfHeal: true") as house:
        await house.by_hand("PUT", "{101}/config", memory="2048")

        async def healed() -> bool:
            jobs = [job for job in await house.house.store.jobs() if job.request.trigger == "drift"]
            return bool(jobs) and jobs[0].state == "succeeded"

        await until(healed)
        assert house.guests[101].config["memory"] == "512"
        (drift,) = await house.house.store.drifts(ended=True)
        assert (drift.ref, drift.field, drift.before, drift.after) == (WEB, "memory", "512Mi", "2Gi")
        assert drift.ended_at is not None


async def test_what_only_a_configuration_tells_is_seen_within_ten_seconds(tmp_path: Path) -> None:
    """Nothing of `/cluster/resources` shows a guest's DNS; the true pace of the watch is used."""
    async with home(tmp_path, "selfHeal: false") as house:
        dns = "{nameservers: [10.0.0.1]}"
        names = {f"c{number}": container(f"c{number}", 100 + number, dns=dns) for number in range(12)}
        house.upstream.push(**names)
        assert (await house.sync()).state == "succeeded"
        watch = asyncio.create_task(Watch(house.house).run())
        await asyncio.sleep(8)
        await house.by_hand("PUT", "{107}/config", nameserver="8.8.8.8")
        started = asyncio.get_running_loop().time()

        async def seen() -> bool:
            return bool(await house.house.store.drifts())

        await until(seen)
        took = asyncio.get_running_loop().time() - started
        (drift,) = await house.house.store.drifts()
        assert (drift.ref.name, drift.field, drift.after) == ("c7", "dns.nameservers", ["8.8.8.8"])
        assert took < 10
        assert house.guests[107].config["nameserver"] == "8.8.8.8", "nobody heals what is not to be healed"
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


OWN = ("allow: [clusters]", "clusters: []", "selfHeal: false")


def own_cluster(house: Home, name: str = "attic") -> str:
    """The simulated cluster under a name of the repository's own; the server's settings name it, too."""
    endpoints = house.house.clusters["lab"].spec.endpoints
    return CONFIG.format(endpoints=", ".join(endpoints), cafile=house.sim.cafile).replace("name: lab", f"name: {name}")


async def test_a_cluster_that_the_repository_declares_is_watched_like_any(tmp_path: Path) -> None:
    """The true pace of the watch is used."""
    async with home(tmp_path, *OWN) as house:
        house.upstream.push(attic=own_cluster(house), web=container("web", 101, running="true"))
        job = await house.sync()
        assert (job.state, job.summary) == ("succeeded", "1 to create"), job.error
        watch = asyncio.create_task(Watch(house.house).run())
        await asyncio.sleep(4)
        await house.by_hand("PUT", "{101}/config", memory="2048")
        started = asyncio.get_running_loop().time()

        async def seen() -> bool:
            return bool(await house.house.store.drifts())

        await until(seen)
        assert asyncio.get_running_loop().time() - started < 10
        (drift,) = await house.house.store.drifts()
        assert (drift.cluster, drift.field, drift.after) == ("attic", "memory", "2Gi")
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        assert set(await house.commands.clusters()) == {"lab", "attic"}
        assert await house.commands.tasks("home", WEB)
        assert {item.name for item in await house.commands.nodes("attic")} >= {"pve1"}
        stopped = await house.done(await house.commands.power(ADA, "home", WEB, "stop"))
        assert (stopped.state, house.guests[101].running) == ("succeeded", None), stopped.error


async def test_who_may_no_longer_declare_clusters_has_none_watched(tmp_path: Path) -> None:
    async with home(tmp_path, *OWN) as house:
        house.upstream.push(attic=own_cluster(house), web=container("web", 101))
        assert (await house.sync()).state == "succeeded"
        source = house.house.sources["home"]
        less = replace(source, spec=source.spec.model_copy(update={"allow": ()}))
        house.house.sources["home"] = less  # type: ignore[index]
        house.calls.clear()
        watch = asyncio.create_task(Watch(house.house, 0.1).run())
        await house.by_hand("PUT", "{101}/config", memory="2048")
        await asyncio.sleep(2)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        assert set(await house.commands.clusters()) == {"lab"}
        with pytest.raises(NotFound, match="attic"):
            await house.commands.tasks("home", WEB)
        assert await house.house.store.drifts() == ()


async def test_a_cluster_that_never_answers_holds_up_no_other(tmp_path: Path) -> None:
    """One that takes a connection and then says nothing is waited for; beside it drift is seen as soon as ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"https://127.0.0.1:{silent.getsockname()[1]}"
        lost = CONFIG.format(endpoints=endpoint, cafile="/etc/ssl/certs/ca-certificates.crt")
        more = "---\n" + lost.replace("name: lab", "name: lost")
        async with home(tmp_path, "selfHeal: false", "clusters: [lab]", more=more) as house:
            house.upstream.push(web=container("web", 101))
            assert (await house.sync()).state == "succeeded"
            watch = asyncio.create_task(Watch(house.house, 0.2).run())
            await asyncio.sleep(2)
            await house.by_hand("PUT", "{101}/config", memory="2048")

            async def seen() -> bool:
                return bool(await house.house.store.drifts())

            await until(seen, 5)
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def test_what_a_hand_changes_beside_a_running_job_is_seen_after_it(tmp_path: Path) -> None:
    async with home(tmp_path, "selfHeal: false") as house:
        house.upstream.push(web=container("web", 101))
        assert (await house.sync()).state == "succeeded"
        store, watch = house.house.store, Watch(house.house, 0.1)
        task = asyncio.create_task(watch.run())
        name = next(iter(house.house.clusters))

        async def known() -> bool:
            return name in watch._seen and 101 in watch._seen[name].guests

        await until(known)
        job = await store.add_job(Request("snapshot", "home"))
        await store.update_job(job.id, ("pending",), state="running")
        before = watch._seen[name].guests[101]
        await house.by_hand("PUT", "{101}/config", memory="2048")

        async def noticed() -> bool:
            return watch._seen[name].guests[101] != before

        await until(noticed)
        assert await store.drifts() == ()
        await store.update_job(job.id, ("running",), state="succeeded")

        async def told() -> bool:
            return bool(await store.drifts())

        await until(told)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_who_stopped_it_is_told_from_the_task_log(tmp_path: Path) -> None:
    async with watched(tmp_path, "selfHeal: false") as house:
        await house.by_hand("POST", "{101}/status/stop")

        async def seen() -> bool:
            return bool(await house.house.store.drifts())

        await until(seen)
        (drift,) = await house.house.store.drifts()
        assert (drift.field, drift.before, drift.after) == ("running", True, False)
        assert drift.who.startswith("root@pam")
        assert drift.task.startswith("UPID:pve1:")
        assert (await house.record("web")).health == "Degraded"
        job = await house.done(await house.commands.heal(ADA, "home", WEB))
        assert (job.state, house.guests[101].running is not None) == ("succeeded", True)
        assert await house.house.store.drifts() == ()


async def test_who_wrote_a_container_s_configuration_is_recorded_by_nobody_and_said_so(tmp_path: Path) -> None:
    """The write is no task. That the guest was started just before, by ourselves, is no answer."""
    async with watched(tmp_path, "selfHeal: false") as house:
        await house.sync()
        await house.by_hand("PUT", "{101}/config", memory="2048")

        async def seen() -> bool:
            return bool(await house.house.store.drifts())

        await until(seen)
        (drift,) = await house.house.store.drifts()
        assert (drift.field, drift.who, drift.task) == ("memory", "", "")
        assert drift.hand == "by whom Proxmox did not record"


async def test_what_was_over_before_is_nobody_s_drift(tmp_path: Path) -> None:
    """A task of the right kind that had ended when the guest was last as declared."""
    async with home(tmp_path, "selfHeal: false") as house:
        house.upstream.push(web=container("web", 101))
        assert (await house.sync()).state == "succeeded"
        await house.by_hand("POST", "{101}/snapshot", snapname="before")
        await house.by_hand("POST", "{101}/snapshot/before/rollback")
        await asyncio.sleep(5)
        assert (await house.sync()).state == "succeeded"
        await house.by_hand("PUT", "{101}/config", memory="2048")
        await Watch(house.house).look(house.house.sources["home"])
        (drift,) = await house.house.store.drifts()
        assert (drift.field, drift.who) == ("memory", "")


async def test_who_falls_ill_is_told_of_once(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    class Ears:
        async def notify(self, notice: Notice) -> None:
            if notice.key.startswith("health/"):
                heard.append((notice.kind, notice.key))

    async with watched(tmp_path, "selfHeal: false") as house:
        object.__setattr__(house.house, "notifiers", (Ears(),))
        await house.by_hand("POST", "{101}/status/stop")

        async def ill() -> bool:
            return heard == [("failure", "health/home/Container/web")]

        await until(ill)
        await house.by_hand("POST", "{101}/status/start")

        async def well() -> bool:
            return heard[1:] == [("recovery", "health/home/Container/web")]

        await until(well)


async def test_a_cluster_that_is_away_shows_as_unknown(tmp_path: Path) -> None:
    async with watched(tmp_path) as house:
        house.faults('rules: [{on: {path: "/*"}, times: 0, do: status, status: 500, reason: out of order}]')

        async def unknown() -> bool:
            return {item.sync for item in (await house.records()).values()} == {"Unknown"}

        await until(unknown)
        record = await house.record("web")
        assert (record.vmid, record.health, record.live["memory"]) == (101, "Unknown", "512Mi"), "what was known stays"
        house.faults("{}")

        async def back() -> bool:
            return {item.sync for item in (await house.records()).values()} == {"Synced"}

        await until(back)
        assert await house.house.store.drifts(ended=True) == ()


async def test_a_guest_that_somebody_deleted_is_made_again(tmp_path: Path) -> None:
    async with watched(tmp_path, "selfHeal: true") as house:
        await house.by_hand("DELETE", "{102}")

        async def back() -> bool:
            return 102 in house.guests and "hostname" in house.guests[102].config

        await until(back)
        drifts = await house.house.store.drifts(ended=True)
        assert {(item.ref.name, item.field, item.after) for item in drifts} >= {("db", "guest", "missing")}


async def test_a_field_is_left_alone_until_a_date(tmp_path: Path) -> None:
    async with watched(tmp_path, "selfHeal: false") as house:
        await house.by_hand("PUT", "{101}/config", memory="2048")

        async def seen() -> bool:
            return bool(await house.house.store.drifts())

        await until(seen)
        (drift,) = await house.house.store.drifts()
        await house.commands.ignore_drift(ADA, drift.id, datetime.now(UTC) + timedelta(days=1))
        for _ in range(3):
            job = await house.sync()
            assert (job.state, house.guests[101].config["memory"]) == ("succeeded", "2048")
        (left,) = await house.house.store.drifts()
        assert (left.id, left.field) == (drift.id, "memory"), "it stays on the page, however often it is looked at"
        await house.commands.ignore_drift(ADA, drift.id, None)
        job = await house.sync()
        assert (job.state, house.guests[101].config["memory"]) == ("succeeded", "512")
        assert await house.house.store.drifts() == ()


async def test_what_was_left_alone_and_is_right_again_is_over(tmp_path: Path) -> None:
    async with watched(tmp_path, "selfHeal: false") as house:
        await house.by_hand("PUT", "{101}/config", memory="2048")

        async def seen() -> bool:
            return bool(await house.house.store.drifts())

        await until(seen)
        (drift,) = await house.house.store.drifts()
        await house.commands.ignore_drift(ADA, drift.id, datetime.now(UTC) + timedelta(days=1))
        await house.by_hand("PUT", "{101}/config", memory="512")

        async def over() -> bool:
            return (await house.record("web")).live["memory"] == "512Mi" and not await house.house.store.drifts()

        await until(over)
        assert house.guests[101].config["memory"] == "512"


async def test_an_idle_home_is_asked_little(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101), db=container("db", 102))
        await house.sync()
        watch = asyncio.create_task(Watch(house.house).run())
        await asyncio.sleep(6)
        house.calls.clear()
        await asyncio.sleep(5)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        assert len(house.calls) <= 14
        assert house.writes == []


async def test_a_push_is_found_by_the_clock(tmp_path: Path) -> None:
    async with home(tmp_path, "interval: 1s") as house:
        clock = asyncio.create_task(Schedule(house.house).run())
        house.upstream.push(web=container("web", 101))

        async def made() -> bool:
            return 101 in house.guests

        await until(made)
        house.upstream.push(web=container("web", 101, memory="512"))

        async def failed() -> bool:
            return any(job.state == "failed" for job in await house.house.store.jobs())

        await until(failed)
        house.upstream.push(web=container("web", 101, memory="1Gi"))

        async def changed() -> bool:
            return house.guests[101].config["memory"] == "1024"

        await until(changed)
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)


async def test_a_failed_sync_is_tried_again_and_a_newer_push_comes_first(tmp_path: Path) -> None:
    async with home(tmp_path, "interval: 1s") as house:
        house.faults(
            """
            rules:
              - {on: {method: POST, path: "/nodes/*/lxc"}, times: 0, do: status, status: 500, reason: out of order}
            """
        )
        clock = asyncio.create_task(Schedule(house.house).run())
        house.upstream.push(web=container("web", 101))

        async def tried_twice() -> bool:
            return len(list(await house.house.store.jobs(states=("failed",)))) >= 2

        await until(tried_twice)
        newest = house.upstream.push(web=container("web", 101, memory="1Gi"))
        house.faults("{}")

        async def synced() -> bool:
            return (await house.house.store.source("home")).synced == newest

        await until(synced)
        assert house.guests[101].config["memory"] == "1024"
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)
