"""What else a host tells and does: services, measurements, what its QEMU can, templates to download, power."""

from __future__ import annotations

import hashlib
from typing import Any

from pvesim.api.method import ApiError, Call, TaskFailed, TaskLog, method
from pvesim.cluster import stats, storage
from pvesim.cluster.state import Node, Volume

SERVICES = {
    "corosync": "Corosync Cluster Engine",
    "cron": "Regular background program processing daemon",
    "pve-cluster": "The Proxmox VE cluster filesystem",
    "pve-firewall": "Proxmox VE firewall",
    "pve-ha-crm": "PVE Cluster HA Resource Manager Daemon",
    "pve-ha-lrm": "PVE Local HA Resource Manager Daemon",
    "pvedaemon": "PVE API Daemon",
    "pveproxy": "PVE API Proxy Server",
    "pvescheduler": "Proxmox VE scheduler",
    "pvestatd": "PVE Status Daemon",
    "spiceproxy": "PVE SPICE Proxy Server",
    "sshd": "OpenBSD Secure Shell server",
}
CPUS = {"AuthenticAMD": ("EPYC", "EPYC-Rome", "Opteron_G5"), "GenuineIntel": ("Haswell", "Skylake-Server", "Westmere")}
GENERIC_CPUS = ("kvm64", "qemu64", "x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4", "host", "max")
TEMPLATES = {
    "debian-12-standard": ("debian-12", "12.7-1", "Debian 12 Bookworm (standard)", 126515062),
    "debian-13-standard": ("debian-13", "13.1-2", "Debian 13 Trixie (standard)", 129710398),
    "ubuntu-24.04-standard": ("ubuntu-24.04", "24.04-2", "Ubuntu 24.04 Noble (standard)", 141589318),
}
STOPPED = "stopped services"  # the key of Node.config for the services that somebody stopped
STEPS = {"hour": 60, "day": 1800, "week": 10800, "month": 43200, "year": 604800, "decade": 604800}
ROWS = 70


@method("GET", "/nodes/{node}/services")
def services(call: Call) -> object:
    return [_service(call, name) for name in SERVICES if name != "corosync" or call.cluster.name]


def _service(call: Call, name: str) -> dict[str, Any]:
    running = name not in _node(call).config.get(STOPPED, ())
    words = {"state": "running", "active-state": "active"} if running else {"state": "dead", "active-state": "inactive"}
    return {"service": name, "name": name, "desc": SERVICES.get(name, name), "unit-state": "enabled"} | words


@method("GET", "/nodes/{node}/services/{service}/state")
def service_state(call: Call) -> object:
    return _service(call, str(call.params["service"]))


@method("POST", "/nodes/{node}/services/{service}/start")
@method("POST", "/nodes/{node}/services/{service}/stop")
@method("POST", "/nodes/{node}/services/{service}/restart")
@method("POST", "/nodes/{node}/services/{service}/reload")
def command_service(call: Call) -> object:
    """What the API needs itself does not stop: that would be its last answer."""
    name, command = str(call.params["service"]), call.path.rpartition("/")[2]

    async def worker(log: TaskLog) -> None:
        if command == "stop" and name in ("pveproxy", "pvedaemon"):
            raise TaskFailed(f"invalid service cmd '{name} {command}'")
        stopped = set(_node(call).config.get(STOPPED, ()))
        _node(call).config[STOPPED] = sorted(stopped | {name} if command == "stop" else stopped - {name})

    return call.fork(f"srv{command}", name, worker)


@method("GET", "/nodes/{node}/services/{service}")
def service(call: Call) -> object:
    return [{"subdir": name} for name in ("state", "start", "stop", "restart", "reload")]


@method("GET", "/nodes/{node}/journal")
def journal(call: Call) -> object:
    return ["s=0;i=0", "e=0;i=0"]


@method("GET", "/nodes/{node}/disks/list")
def disks(call: Call) -> object:
    return []


@method("GET", "/nodes/{node}/subscription")
def subscription(call: Call) -> object:
    server = hashlib.md5(call.node.encode(), usedforsecurity=False).hexdigest().upper()
    text = "There is no subscription key"
    return {
        "status": "notfound",
        "message": text,
        "serverid": server,
        "url": "https://www.proxmox.com/proxmox-ve/pricing",
    }


@method("GET", "/nodes/{node}/capabilities/qemu/cpu")
def cpus(call: Call) -> object:
    named = [(vendor, name) for vendor, names in CPUS.items() for name in names]
    named += [("default", name) for name in GENERIC_CPUS]
    return [{"name": name, "vendor": vendor, "custom": 0} for vendor, name in named]


@method("GET", "/nodes/{node}/capabilities/qemu/machines")
def machines(call: Call) -> object:
    versions = ("10.1", "10.0", "9.2", "9.0", "8.2") if call.cluster.major >= 9 else ("9.2", "9.0", "8.2")
    kinds = (("pc-q35", "q35"), ("pc-i440fx", "i440fx"))
    return [{"id": f"{name}-{it}", "type": kind, "version": it} for name, kind in kinds for it in versions]


@method("GET", "/nodes/{node}/rrddata")
def measurements(call: Call) -> object:
    node, step = _node(call), STEPS[str(call.params["timeframe"])]
    now = int(call.cluster.clock.now()) // step * step
    values = {
        "cpu": 0.02,
        "maxcpu": node.cpus,
        "memtotal": node.memory,
        "memused": stats.node_memory(call.cluster, node),
        "roottotal": stats.ROOT_DISK,
        "rootused": stats.ROOT_DISK // 5,
        "loadavg": 0.1,
        "iowait": 0,
        "netin": 0,
        "netout": 0,
        "swaptotal": 0,
        "swapused": 0,
    }
    times = range(now - (ROWS - 1) * step, now + step, step)
    return [{"time": time} | (values if time >= node.booted_at else {}) for time in times]


@method("GET", "/nodes/{node}/aplinfo")
def templates(call: Call) -> object:
    return [
        {
            "template": _file(name),
            "package": name,
            "os": system,
            "version": version,
            "headline": text,
            "type": "lxc",
            "section": "system",
            "architecture": "amd64",
            "source": "https://download.proxmox.com/images",
        }
        for name, (system, version, text, _) in TEMPLATES.items()
    ]


@method("POST", "/nodes/{node}/aplinfo")
def download(call: Call) -> object:
    wanted, place = str(call.params["template"]), str(call.params["storage"])
    name = next((name for name in TEMPLATES if _file(name) == wanted), None)
    if name is None:
        raise ApiError(400, "Parameter verification failed.", {"template": "no such template"})
    target = storage.usable(call.cluster, place, call.node)
    if "vztmpl" not in storage.content_of(target):
        raise ApiError(500, f"cannot download to storage '{place}' as it's not configured to hold container templates")

    async def worker(log: TaskLog) -> None:
        log(f"downloading https://download.proxmox.com/images/system/{wanted} to {place}")
        await call.cluster.clock.sleep(10)
        key = storage.key(call.cluster, call.node, f"{place}:vztmpl/{wanted}")
        now = int(call.cluster.clock.now())
        call.cluster.volumes[key] = Volume(key[1], key[0], TEMPLATES[name][3], "tzst", "vztmpl", ctime=now)
        log("download finished")

    return call.fork("download", "", worker)


@method("POST", "/nodes/{node}/hosts")
def write_hosts(call: Call) -> None:
    _node(call).config["hosts"] = str(call.params["data"])


@method("POST", "/nodes/{node}/status")
def power(call: Call) -> None:
    """A reboot comes back at once, with what starts on boot; a shutdown leaves the node dead."""
    node = _node(call)
    call.cluster.check_quorum()
    for guest in call.cluster.guests.values():
        if guest.node == node.name and guest.running is not None:
            guest.running = guest.started_at = guest.pid = None
    node.online = call.params["command"] == "reboot"
    node.booted_at = call.cluster.clock.now()


@method("GET", "/access/users/{userid}/tfa")
def second_factors(call: Call) -> dict[str, Any]:
    return {"types": []} if call.params.get("multiple") else {}


@method("GET", "/cluster/jobs")
def jobs(call: Call) -> object:
    return [{"subdir": "realm-sync"}, {"subdir": "schedule-analyze"}]


@method("GET", "/cluster/metrics")
def metrics(call: Call) -> object:
    return [{"name": "server"}, {"name": "export"}]


@method("GET", "/cluster/sdn/vnets")
@method("GET", "/cluster/sdn/zones")
def nothing(call: Call) -> object:
    return []


def _node(call: Call) -> Node:
    return call.cluster.nodes[call.node]


def _file(name: str) -> str:
    return f"{name}_{TEMPLATES[name][1]}_amd64.tar.zst"
