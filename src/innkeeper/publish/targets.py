"""Targets for Prometheus' `file_sd_configs`: every guest that is to be measured."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from innkeeper.control.ports import Service
from innkeeper.model.exposure import EXPORTER_PORT
from innkeeper.model.server import PrometheusPublisher
from innkeeper.publish.claims import at, is_address
from innkeeper.publish.files import read, write


class Targets:
    """Implements `innkeeper.control.ports.Publisher`. The whole file is ours."""

    def __init__(self, spec: PrometheusPublisher) -> None:
        self.name = spec.name
        self._file = Path(spec.file)

    async def publish(self, services: Sequence[Service]) -> tuple[str, ...]:
        measured = [item for item in services if item.monitoring and is_address(item.address)]
        text = targets(measured, as_json=self._file.suffix == ".json")
        if await asyncio.to_thread(read, self._file) == text:
            return ()
        await asyncio.to_thread(write, self._file, text)
        return (f"Prometheus reads {len(measured)} target{'' if len(measured) == 1 else 's'} from {self._file}",)


def targets(services: Sequence[Service], *, as_json: bool) -> str:
    """The file; a guest's labels are where it comes from and what Proxmox calls it."""
    groups = [
        {
            "targets": [at(item.address, EXPORTER_PORT)],
            "labels": {
                "guest": str(item.ref),
                "source": item.source,
                "cluster": item.cluster,
                "vmid": str(item.vmid),
                "hostname": item.hostname,
            },
        }
        for item in sorted(services, key=lambda item: item.owner)
    ]
    if as_json:
        return json.dumps(groups, indent=2) + "\n"
    return yaml.safe_dump(groups, sort_keys=False)
