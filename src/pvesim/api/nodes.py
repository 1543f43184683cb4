"""`/nodes`: the hosts themselves, without their guests, storages and tasks. (PVE::API2::Nodes, Network)"""

from __future__ import annotations

import hashlib
from typing import Any

from pvesim.api.method import Call, method
from pvesim.api.version import version
from pvesim.cluster import stats
from pvesim.cluster.state import Node

SUBDIRS = (
    *("aplinfo", "apt", "capabilities", "ceph", "certificates", "config", "disks", "dns", "firewall", "hardware"),
    *("hosts", "journal", "lxc", "migrateall", "netstat", "network", "qemu", "replication", "report", "rrd", "rrddata"),
    *("scan", "sdn", "services", "spiceshell", "startall", "status", "stopall", "storage", "subscription", "syslog"),
    *("suspendall", "tasks", "termproxy", "time", "version", "vncshell", "vzdump", "wakeonlan"),
)
KERNEL = "6.17.2-1-pve"


@method("GET", "/nodes")
def index(call: Call) -> object:
    cluster = call.cluster
    audit = {node: call.allowed(f"/nodes/{node}", "Sys.Audit") for node in cluster.nodes}
    return [
        row | {"ssl_fingerprint": cluster.nodes[row["node"]].fingerprint} for row in stats.node_rows(cluster, audit)
    ]


@method("GET", "/nodes/{node}")
def subdirs(call: Call) -> object:
    return [{"name": name} for name in SUBDIRS]


@method("GET", "/nodes/{node}/version")
def node_version(call: Call) -> object:
    return version(call)


@method("GET", "/nodes/{node}/status")
def status(call: Call) -> object:
    node = _node(call)
    used = stats.node_memory(call.cluster, node)
    disk = stats.ROOT_DISK
    system = {"sysname": "Linux", "release": KERNEL, "version": "#1 SMP PREEMPT_DYNAMIC", "machine": "x86_64"}
    found: dict[str, Any] = {
        "uptime": int(call.cluster.clock.now() - node.booted_at),
        "cpu": 0.02,
        "wait": 0,
        "idle": 0,
        "loadavg": ["0.10", "0.12", "0.09"],
        "kversion": f"Linux {KERNEL} #1 SMP PREEMPT_DYNAMIC",
        "current-kernel": system,
        "pveversion": f"pve-manager/{call.cluster.version}/f40095996bcb6bf7",
        "boot-info": {"mode": "efi", "secureboot": 0},
        "rootfs": {"total": disk, "used": disk // 5, "free": disk - disk // 5, "avail": disk - disk // 5},
        "ksm": {"shared": 0},
        "swap": {"total": 0, "used": 0, "free": 0},
        "memory": {"total": node.memory, "used": used, "free": node.memory - used},
        "cpuinfo": {
            "model": "Simulated CPU",
            "vendor": "AuthenticAMD",
            "family": "25",
            "sockets": 1,
            "cores": node.cpus,
            "cpus": node.cpus,
            "mhz": "2600.000",
            "user_hz": 100,
            "hvm": "1",
            "flags": "fpu sse sse2 avx avx2 aes svm",
        },
    }
    if call.cluster.major >= 9:
        found["memory"]["available"] = node.memory - used
    return found


@method("GET", "/nodes/{node}/time")
def time(call: Call) -> object:
    now = int(call.cluster.clock.now())
    return {"time": now, "localtime": now, "timezone": _node(call).timezone}


@method("PUT", "/nodes/{node}/time")
def set_time(call: Call) -> None:
    _node(call).timezone = str(call.params["timezone"])


@method("GET", "/nodes/{node}/dns")
def dns(call: Call) -> object:
    return {key: value for key, value in _node(call).dns.items() if value}


@method("PUT", "/nodes/{node}/dns")
def set_dns(call: Call) -> None:
    _node(call).dns = {key: str(value) for key, value in call.params.items() if key != "node" and value}


@method("GET", "/nodes/{node}/hosts")
def hosts(call: Call) -> object:
    lines = ["127.0.0.1 localhost", *(f"{node.address} {node.name}" for node in call.cluster.nodes.values())]
    data = str(_node(call).config.get("hosts") or "\n".join(lines) + "\n")
    return {"data": data, "digest": hashlib.sha1(data.encode(), usedforsecurity=False).hexdigest()}


@method("GET", "/nodes/{node}/syslog")
def syslog(call: Call) -> object:
    return [{"n": 1, "t": "no content"}]


def _node(call: Call) -> Node:
    return call.cluster.nodes[call.node]
