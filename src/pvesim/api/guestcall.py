"""What the methods that both kinds of guest have in common read from a call."""

from __future__ import annotations

from typing import Any

from pvesim.api.method import Call, TaskLog
from pvesim.cluster.lxc import power as container_power
from pvesim.cluster.qemu import power as machine_power
from pvesim.cluster.state import Config, Guest, Kind
from pvesim.schema.facts import load


def kind_of(call: Call) -> Kind:
    """`lxc` or `qemu`, from the path `/nodes/{node}/{kind}/…`."""
    return "lxc" if "lxc" in call.path.split("/")[:6] else "qemu"


def guest_of(call: Call) -> Guest:
    """The guest that the path names, or ApiError 500."""
    return call.cluster.guest(call.node, kind_of(call), int(call.params["vmid"]))


def typed(version: str, kind: Kind, config: Config) -> dict[str, Any]:
    """A section as JSON: integers and booleans as numbers; Proxmox leaves its `number` type as text (check_type)."""
    params = load(version)[f"PUT /nodes/{{node}}/{kind}/{{vmid}}/config"].params
    return {key: _value(getattr(params.get(key), "type", ""), value) for key, value in config.items()}


def _value(type: str, text: str) -> Any:  # noqa: A002
    try:
        if type in ("integer", "boolean"):
            return int(text)
    except ValueError:
        pass
    return text


def start_by_task(call: Call, guest: Guest) -> str:
    """Start a guest by a task of its own, on the node where it is."""

    async def work(log: TaskLog) -> None:
        if guest.kind == "lxc":
            await container_power.start(call.cluster, guest.node, guest.vmid, log)
        else:
            await machine_power.start(call, guest.node, guest.vmid, log)

    return call.fork("vzstart" if guest.kind == "lxc" else "qmstart", guest.vmid, work, node=guest.node)
