"""What a virtual machine does at the moment, as lists and `status/current` show it (PVE::QemuServer, vmstatus)."""

from __future__ import annotations

from pvesim.cluster import ha
from pvesim.cluster.qemu import disks, net, options, power, properties
from pvesim.cluster.state import Cluster, Guest

_PRESSURES = [f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("some", "full")]
_MEMORY_SHARE = 4  # a running system has a quarter of its memory in use


def status(cluster: Cluster, guest: Guest, *, full: bool = False) -> dict[str, object]:
    """One VM; `full` adds what only the running process knows. Sizes in bytes, `uptime` in seconds."""
    config, running = guest.config, guest.running is not None
    memory = options.memory_mib(config) * 2**20
    cpus = min(options.cores(config), cluster.nodes[guest.node].cpus)
    found: dict[str, object] = {
        "vmid": guest.vmid,
        "status": "running" if running else "stopped",
        "name": config.get("name") or f"VM {guest.vmid}",
        "cpus": int(config["vcpus"]) if "vcpus" in config else cpus,
        "maxmem": memory,
        "disk": 0,
        "maxdisk": disks.boot_size(config),
        "uptime": int(cluster.clock.now() - (guest.started_at or 0)) if running else 0,
        "cpu": 0.01 if running else 0,
        "mem": memory // _MEMORY_SHARE if running else 0,
        "netin": 0,
        "netout": 0,
    }
    if cluster.major >= 9:
        found["memhost"] = found["mem"]
        found |= dict.fromkeys(_PRESSURES, 0) if running else {}
    else:
        found |= {"diskread": 0, "diskwrite": 0}
    if config.get("balloon", "0") != "0":
        found |= {"balloon_min": int(config["balloon"]) * 2**20, "shares": int(config.get("shares", "1000"))}
    if guest.is_template:
        found["template"] = 1
    if any(f"serial{n}" in config for n in range(4)):
        found["serial"] = 1
    found |= {key: config[key] for key in ("lock", "tags") if key in config}
    if running:
        found["pid"] = guest.pid
    return found | _process(cluster, guest) if full else found


def _process(cluster: Cluster, guest: Guest) -> dict[str, object]:
    if guest.running is None:
        return {"qmpstatus": "stopped"}
    taps = {f"tap{guest.vmid}i{slot[3:]}": {"netin": 0, "netout": 0} for slot in net.nets(guest.running)}
    found: dict[str, object] = {
        "qmpstatus": "paused" if guest.paused else "running",
        "diskread": 0,
        "diskwrite": 0,
        "running-machine": power.running_machine(cluster),
        "running-qemu": "10.1.2" if cluster.major >= 9 else "9.2.0",
    }
    return found | ({"nics": taps} if taps else {})


def current(cluster: Cluster, guest: Guest) -> dict[str, object]:
    """What `GET …/status/current` answers."""
    found = status(cluster, guest, full=True)
    found["ha"] = ha_status(cluster, guest.vmid)
    if vga := guest.config.get("vga"):
        parts = properties.split(vga, "type")
        if parts.get("type", "").startswith(("virtio", "qxl")):
            found["spice"] = 1
        found["clipboard"] = parts.get("clipboard")
    if options.agent_enabled(guest.config):
        found["agent"] = 1
    return found


def ha_status(cluster: Cluster, vmid: int) -> dict[str, object]:
    """Whether HA manages the VM, and as what."""
    resource = ha.entries(cluster, "resources").get(f"vm:{vmid}")
    if not resource:
        return {"managed": 0}
    shown = {key: resource[key] for key in ("group", "state") if resource.get(key)}
    return {"managed": 1, **shown}
