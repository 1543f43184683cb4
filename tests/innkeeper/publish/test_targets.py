"""A real Prometheus reads its targets."""

import json
from pathlib import Path

import httpx2
import pytest

from innkeeper.engine.errors import Stalled
from innkeeper.model.server import PrometheusPublisher
from innkeeper.publish.targets import Targets
from tests.innkeeper.publish.services import free_port, program, running, service, until


def publisher(file: Path) -> Targets:
    return Targets(PrometheusPublisher.model_validate({"type": "prometheus", "name": "metrics", "file": str(file)}))


@pytest.mark.parametrize("suffix", ["json", "yml"])
async def test_prometheus_measures_what_is_told(tmp_path: Path, suffix: str) -> None:
    port, file = free_port(), tmp_path / f"guests.{suffix}"
    config = tmp_path / "prometheus.yml"
    jobs = [{"job_name": "guests", "file_sd_configs": [{"files": [str(file)], "refresh_interval": "1s"}]}]
    config.write_text(json.dumps({"scrape_configs": jobs}))
    command = [program("prometheus", "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]
    told = publisher(file)
    measured = service("web", "127.0.0.9", monitoring=True)
    assert await told.publish([measured, service("db", "127.0.0.8")]) == (f"Prometheus reads 1 target from {file}",)
    assert await told.publish([measured, service("db", "127.0.0.8")]) == ()

    def targets() -> list[dict[str, dict[str, str]]]:
        answer = httpx2.get(f"http://127.0.0.1:{port}/api/v1/targets").json()
        found: list[dict[str, dict[str, str]]] = answer["data"]["activeTargets"]
        return found

    with running([*command, f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "log", port):
        until(lambda: len(targets()) == 1)
        (target,) = targets()
        assert target["discoveredLabels"]["__address__"] == "127.0.0.9:9100"
        labels = {"guest": "Container/web", "source": "home", "cluster": "lab", "vmid": "100", "hostname": "web"}
        assert target["labels"] == labels | {"instance": "127.0.0.9:9100", "job": "guests"}
        await told.publish([])
        until(lambda: targets() == [])


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="cannot be written: No such file or directory"):
        await publisher(tmp_path / "nowhere" / "guests.json").publish([])
