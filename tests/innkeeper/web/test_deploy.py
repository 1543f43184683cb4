"""The files for whoever deploys it are good: read by the real tools, about metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from innkeeper.engine.errors import Waiting
from innkeeper.model.jobs import Request
from innkeeper.model.plan import Json
from innkeeper.web.metrics import Metrics
from tests.innkeeper.web.serving import Served

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
RULES = DEPLOY / "prometheus/alerts.yml"
_NAME = re.compile(r"\b(?:innkeeper|proxmox)_[a-z_]+")


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs: {command[0]}")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_rules_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    checked = ran("promtool", "check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stderr
    cases = tmp_path / "alerts.test.yml"
    cases.write_text((Path(__file__).parent / "alerts.test.yml").read_text().replace("RULES", str(RULES)))
    tried = ran("promtool", "test", "rules", str(cases))
    assert tried.returncode == 0, tried.stdout + tried.stderr


async def test_rules_and_dashboard_ask_for_metrics_that_there_are(portal: Served) -> None:
    store = portal.store
    job = await store.add_job(Request("sync", "lab"))
    now = portal.clock()
    await store.update_job(job.id, ("pending",), state="failed", started_at=now, finished_at=now)
    await store.put_source("lab", seen="1f" * 20, fetched_at=now)
    prober = portal.browser(accept="*/*")
    await prober.get("/metrics")
    portal.parts.bus.tell("job", {"id": job.id, "state": "failed", "error": "Stalled"})
    calls: Json = {"pve1": {"reads": 7, "writes": 2}}
    portal.parts.bus.tell("cluster", {"name": "home", "connected": True, "nodes": 3, "calls": calls})
    for _ in range(100):
        text = (await prober.get("/metrics")).text
        if "pve1" in text and "error_type" in text:
            break
    families = {family.name: family for family in text_string_to_metric_families(text)}
    there = set(families) | {sample.name for family in families.values() for sample in family.samples}
    asked = set(_NAME.findall(RULES.read_text() + (DEPLOY / "grafana/innkeeper.json").read_text()))
    assert asked <= there, f"no such metrics: {sorted(asked - there)}"
    assert len(asked) > 10
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for item in families.values()
        for sample in item.samples
    }
    assert values[("innkeeper_node_api_calls_total", "home", "pve1", "reads")] == 7
    assert values[("proxmox_operator_errors_total", "Stalled", "sync")] == 1
    assert values[("innkeeper_source_behind", "lab")] == 1


def test_names_do_not_become_labels() -> None:
    metrics = Metrics()
    upid = "UPID:pve1:0001:0002:0003:vzcreate:101:root@pam:"
    for path in (
        "/api2/json/nodes/pve1/lxc/101/config?current=1",
        "/api2/json/nodes/pve2/lxc/102/config",
        f"/api2/json/nodes/pve1/tasks/{upid}/status",
        "/api2/json/nodes/pve1/storage/fast/content/fast:subvol-101-disk-0",
        "/api2/json/nodes/pve1/lxc/101/snapshot/before/rollback",
    ):
        metrics.answered("GET", path, 200)
    found = {
        sample.labels["endpoint"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "proxmox_operator_api_requests_total"
    }
    assert found == {
        "/api2/json/nodes/*/lxc/*/config": 2,
        "/api2/json/nodes/*/tasks/*/status": 1,
        "/api2/json/nodes/*/storage/*/content/*": 1,
        "/api2/json/nodes/*/lxc/*/snapshot/*/rollback": 1,
    }


def test_the_dashboard_is_whole() -> None:
    board = json.loads((DEPLOY / "grafana/innkeeper.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])


def test_the_unit_is_understood_and_holds_little() -> None:
    unit = DEPLOY / "systemd/innkeeper.service"
    verified = ran("systemd-analyze", "verify", str(unit))
    told = [line for line in verified.stderr.splitlines() if "innkeeper.service" in line]
    assert not [line for line in told if "is not executable" not in line], told
    scored = ran("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    score = re.search(r"Overall exposure level for innkeeper.service: ([\d.]+)", scored.stdout)
    assert score is not None and float(score[1]) < 2.5, scored.stdout[-500:]


async def test_alive_and_ready(portal: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    prober = portal.browser(accept="*/*")
    assert [(await prober.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]

    async def full(_: object) -> None:
        raise Waiting("nothing can be written: the disk is full", "make room", 30.0)

    monkeypatch.setattr(type(portal.store), "writable", full)
    answer = await prober.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "the disk is full" in answer.text
    assert (await prober.get("/healthz")).status_code == 200
