"""Backups made at once, backup jobs, and what a storage does with archives."""

import json

from tests.pvesim.running import Sim

from .conftest import CT, VM, container, machine

LOCAL = "/nodes/pve/storage/local"


def archives(sim: Sim) -> list[dict[str, object]]:
    return list(sim.call("GET", f"{LOCAL}/content", {"content": "backup"}).data)


def test_a_backup_is_a_volume_with_the_config_inside(sim: Sim) -> None:
    container(sim, hostname="web", memory=300, description="text", mp0="btr:1,mp=/data,backup=1")
    asked = {"vmid": 101, "storage": "local", "compress": "zstd", "notes-template": "{{guestname}} on {{node}}"}
    assert sim.do("POST", "/nodes/pve/vzdump", asked | {"protected": 1}) == "OK"
    (row,) = archives(sim)
    assert set(row) == {"volid", "format", "size", "ctime", "content", "subtype", "vmid", "notes", "protected"}
    assert (row["format"], row["subtype"], row["vmid"]) == ("tar.zst", "lxc", 101)
    assert (row["notes"], row["protected"]) == ("web on pve", 1)
    text = sim.call("GET", "/nodes/pve/vzdump/extractconfig", {"volume": row["volid"]}).data
    assert "hostname: web\n" in text
    assert "lock" not in text
    assert "lock" not in sim.call("GET", f"{CT}/config").data
    path = f"{LOCAL}/content/{row['volid']}"
    refusal = f"cannot remove protected volume '{str(row['volid']).partition(':')[2]}' on 'local'"
    assert sim.do("DELETE", path) == refusal
    assert sim.call("PUT", path, {"protected": 0, "notes": "other"}).data is None
    assert sim.call("GET", path).data["notes"] == "other"
    assert sim.do("POST", "/nodes/pve/lxc", {"vmid": 102, "ostemplate": row["volid"], "restore": 1}) == "OK"
    restored = sim.call("GET", "/nodes/pve/lxc/102/config").data
    assert (restored["hostname"], restored["memory"]) == ("web", 300)
    assert sim.do("DELETE", path) == "OK"
    assert archives(sim) == []


def test_retention(sim: Sim) -> None:
    machine(sim)
    for _ in range(2):
        assert sim.do("POST", "/nodes/pve/vzdump", {"vmid": 200, "storage": "local"}) == "OK"
    assert archives(sim)[0]["format"] == "vma"
    sim.call("PUT", "/storage/local", {"prune-backups": "keep-last=1"})
    marks = sim.call("GET", f"{LOCAL}/prunebackups", {"vmid": 200}).data
    assert [row["mark"] for row in marks].count("keep") == 1
    assert sim.do("POST", "/nodes/pve/vzdump", {"vmid": 200, "storage": "local", "remove": 0}) == "job errors"
    assert sim.do("POST", "/nodes/pve/vzdump", {"vmid": 200, "storage": "local"}) == "OK"
    assert len(archives(sim)) == 1


def test_what_a_backup_is_refused_for(sim: Sim) -> None:
    container(sim)
    post = "/nodes/pve/vzdump"
    assert sim.call("POST", post, {}).errors == {"vmid": "property is missing"}
    assert sim.call("POST", post, {"vmid": 101, "all": 1}).errors == {"all": "option conflicts with option 'vmid'"}
    assert sim.call("POST", post, {"vmid": 101, "script": "/x"}).errors == {"script": "Only root may set this option."}
    assert sim.do("POST", post, {"vmid": 101, "storage": "nope"}) == (
        "could not activate storage 'nope': storage 'nope' does not exist"
    )
    assert sim.do("POST", post, {"vmid": 101, "storage": "btr"}).endswith("for backups - wrong content type")
    assert sim.do("POST", post, {"vmid": 999}) == "job errors"
    sim.call("PUT", "/access/acl", {"path": "/storage/local", "roles": "PVEDatastoreUser", "users": "alice@pve"})
    upid = sim.call("POST", post, {"vmid": 101, "storage": "local"}, token="alice@pve!nosep").data
    assert sim.task(upid) == "403 Permission check failed (/vms/101, VM.Backup)"
    assert sim.call("POST", post, {"vmid": 101, "storage": "btr"}, token="alice@pve!nosep").message == (
        "Permission check failed (/storage/btr, Datastore.AllocateSpace)"
    )


def test_jobs(sim: Sim) -> None:
    container(sim)
    machine(sim)
    base = "/cluster/backup"
    assert sim.call("GET", base).data == []
    assert set(sim.call("POST", base, {"all": 1}).errors) == {"schedule"}
    assert sim.call("POST", base, {"schedule": "21:00"}).errors == {"vmid": "property is missing"}
    asked = {"id": "job1", "schedule": "mon 21:00", "vmid": "101", "storage": "local", "prune-backups": "keep-last=3"}
    assert sim.call("POST", base, asked).data is None
    assert sim.call("POST", base, asked).message == "Job 'job1' already exists"
    (row,) = sim.call("GET", base).data
    assert row.pop("next-run") > 0
    assert row == {
        "id": "job1",
        "type": "vzdump",
        "enabled": 1,
        "schedule": "mon 21:00",
        "vmid": "101",
        "storage": "local",
        "prune-backups": {"keep-last": "3"},
    }
    tree = sim.call("GET", f"{base}/job1/included_volumes").data
    assert tree["children"][0]["children"][0]["reason"] == "rootfs"
    assert [row["vmid"] for row in sim.call("GET", "/cluster/backup-info/not-backed-up").data] == [200]
    assert sim.call("PUT", f"{base}/job1", {"all": 1, "enabled": 0}).data is None
    job = sim.call("GET", f"{base}/job1").data
    assert (job["all"], job["enabled"], "vmid" in job) == (1, 0, False)
    assert set(sim.call("PUT", f"{base}/nope", {"all": 1}).errors) == {"id"}
    assert set(sim.call("PUT", f"{base}/job1", {"delete": "bogus"}).errors) == {"delete"}
    assert sim.call("DELETE", f"{base}/job1").data is None
    assert set(sim.call("DELETE", f"{base}/job1").errors) == {"id"}
    assert sim.call("GET", f"{base}/job1").errors == {"id": "No such job 'job1'"}


def test_pruning_rules() -> None:
    from pvesim.cluster.prune import Backup, marks

    day = 86400
    backups = [Backup(str(n), "lxc/1", 1_700_000_000 + n * day) for n in range(10)]
    kept = [name for name, mark in marks(backups, {"keep-last": 2, "keep-daily": 3}).items() if mark == "keep"]
    assert sorted(kept) == ["5", "6", "7", "8", "9"]
    assert set(marks(backups, {}).values()) == {"keep"}
    assert set(marks(backups, {"keep-all": 1}).values()) == {"keep"}
    assert json.dumps(marks([Backup("p", "g", 1, "protected")], {"keep-last": 1})) == '{"p": "protected"}'


def test_a_machine_backed_up_while_it_runs(sim: Sim) -> None:
    machine(sim)
    sim.do("POST", f"{VM}/status/start")
    assert sim.do("POST", "/nodes/pve/vzdump", {"vmid": "200", "mode": "stop"}) == "OK"
    assert sim.call("GET", f"{VM}/status/current").data["status"] == "running"
