"""The guest agent inside a virtual machine, as far as its record can answer (PVE::API2::Qemu::Agent).

It answers when `agent` is on, the VM runs and has a system on a disk. What it holds (files, processes) lives in
`guest.extra["agent"]` and is gone with the next start; commands go to the backend, a few are known here.
"""

from __future__ import annotations

import base64
from typing import Any

from pvesim.cluster.qemu import cloudinit, drive, machine, net, options
from pvesim.cluster.state import Cluster, Guest
from pvesim.errors import ApiError

READ = (
    *("get-time", "info", "network-get-interfaces", "get-vcpus", "get-fsinfo", "get-memory-blocks"),
    *("get-memory-block-info", "get-host-name", "get-osinfo", "get-users", "get-timezone"),
)
WRITE = (
    *("ping", "fsfreeze-status", "fsfreeze-freeze", "fsfreeze-thaw", "fstrim"),
    *("suspend-hybrid", "suspend-ram", "suspend-disk", "shutdown"),
)
OWN = ("exec", "exec-status", "file-read", "file-write", "set-user-password")
VERSION = "7.2.22"
MAX_READ = 16 * 2**20
_UNSUPPORTED = ("guest-get-devices",)
_QGA = (
    *(f"guest-{name}" for name in (*READ, *WRITE)),
    *("guest-exec", "guest-exec-status", "guest-file-open", "guest-file-read", "guest-file-write", "guest-file-close"),
    *("guest-set-user-password", "guest-set-vcpus", "guest-sync", "guest-sync-delimited", "guest-get-disks"),
    *_UNSUPPORTED,
)


def reach(cluster: Cluster, guest: Guest) -> None:
    """ApiError 500 unless the agent answers (assert_agent_available)."""
    if "agent" not in guest.config:
        raise ApiError(500, "No QEMU guest agent configured")
    if guest.running is None:
        raise ApiError(500, f"VM {guest.vmid} is not running")
    if not machine.agent_answers(cluster, guest):
        raise ApiError(500, "QEMU guest agent is not running")


def _inside(guest: Guest) -> dict[str, Any]:
    found: dict[str, Any] = guest.extra.setdefault("agent", {})
    return found


def answer(cluster: Cluster, guest: Guest, command: str) -> object:
    """The result of a command without parameters; `shutdown` and the suspends are up to the caller."""
    reach(cluster, guest)
    inside = _inside(guest)
    if command == "info":
        commands = [
            {"name": name, "enabled": name not in _UNSUPPORTED, "success-response": name != "guest-shutdown"}
            for name in _QGA
        ]
        return {"version": VERSION, "supported_commands": commands}
    if command == "get-time":
        return int(cluster.clock.now() * 10**9)
    if command == "get-host-name":
        return {"host-name": _host_name(guest)}
    if command == "get-timezone":
        return {"zone": "UTC", "offset": 0}
    if command == "get-vcpus":
        return [
            {"logical-id": n, "online": True, "can-offline": n > 0} for n in range(options.cores(guest.running or {}))
        ]
    if command == "fsfreeze-status":
        return "frozen" if inside.get("frozen") else "thawed"
    if command in ("fsfreeze-freeze", "fsfreeze-thaw"):
        count = len(_filesystems(guest)) if (command == "fsfreeze-freeze") != bool(inside.get("frozen")) else 0
        inside["frozen"] = command == "fsfreeze-freeze"
        return count
    if command == "network-get-interfaces":
        return _interfaces(guest)
    fixed: dict[str, object] = {
        "get-fsinfo": _filesystems(guest),
        "get-osinfo": _SYSTEM,
        "get-users": [],
        "get-memory-blocks": [],
        "get-memory-block-info": {"size": 134217728},
        "fstrim": {"paths": [{"path": "/", "minimum": 0, "trimmed": 0}]},
    }
    return fixed.get(command, {})


_SYSTEM = {
    "id": "debian",
    "name": "Debian GNU/Linux",
    "pretty-name": "Debian GNU/Linux 12 (bookworm)",
    "version": "12 (bookworm)",
    "version-id": "12",
    "machine": "x86_64",
    "kernel-release": "6.1.0-44-cloud-amd64",
    "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.164-1 (2026-03-09)",
}


def _host_name(guest: Guest) -> str:
    return (guest.running or {}).get("name", f"VM{guest.vmid}").partition(".")[0]


def _filesystems(guest: Guest) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    one = next((d for d in drive.drives(guest.running or {}) if d.slot in drive.BOOTABLE and not d.is_cdrom), None)
    if one:
        bus = one.slot.rstrip("0123456789")
        disk = {"bus": 0, "bus-type": bus, "unit": 0, "target": 0, "dev": "/dev/sda"}
        disk |= {"pci-controller": {"domain": 0, "bus": 0, "slot": 5, "function": 0}}
        total = int((one.size or 0) * 0.9)
        found.append(
            {
                "name": "sda1",
                "mountpoint": "/",
                "type": "ext4",
                "total-bytes": total,
                "used-bytes": total // 4,
                "disk": [disk],
            }
        )
    return found


def _interfaces(guest: Guest) -> list[dict[str, object]]:
    """`lo`, then one device per network card, with the addresses that cloud-init gave it."""
    config = guest.running or {}
    found = [_interface("lo", "00:00:00:00:00:00", ["127.0.0.1/8", "::1/128"])]
    for slot, device in net.nets(config).items():
        name = f"ens{18 + int(slot[3:])}"
        given = cloudinit.addresses(config[f"ipconfig{slot[3:]}"]) if f"ipconfig{slot[3:]}" in config else {}
        addresses = [given[key] for key in ("ip", "ip6") if "/" in given.get(key, "")]
        if given.get("ip") == "dhcp":
            addresses.append(f"10.{100 + guest.vmid // 65536 % 100}.{guest.vmid // 256 % 256}.{guest.vmid % 256}/8")
        found.append(_interface(name, device.mac.lower(), addresses))
    return found


def _interface(name: str, mac: str, addresses: list[str]) -> dict[str, object]:
    counters = [f"{way}-{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errs", "dropped")]
    found: dict[str, object] = {"name": name, "hardware-address": mac, "statistics": dict.fromkeys(counters, 0)}
    rows = []
    for cidr in addresses:
        address, _, prefix = cidr.partition("/")
        kind = "ipv6" if ":" in address else "ipv4"
        rows.append({"ip-address": address, "ip-address-type": kind, "prefix": int(prefix)})
    return found | ({"ip-addresses": rows} if rows else {})


async def execute(cluster: Cluster, guest: Guest, command: list[str], stdin: str | None) -> int:
    """Run a command inside; returns its process id there."""
    if not command and stdin is None:
        raise ApiError(500, "command or input-data (or both) required")
    reach(cluster, guest)
    inside = _inside(guest)
    code, out, err = _builtin(guest, command) or await cluster.backend.exec(guest, command, stdin or "")
    pid = int(inside.get("last_pid", 300)) + 1
    inside["last_pid"] = pid
    inside.setdefault("processes", {})[str(pid)] = [code, out, err]
    return pid


def _builtin(guest: Guest, command: list[str]) -> tuple[int, str, str] | None:
    name = command[0].rpartition("/")[2] if command else ""
    if name == "echo":
        return 0, " ".join(command[1:]) + "\n", ""
    if name == "false":
        return 1, "", ""
    if name == "hostname":
        return 0, _host_name(guest) + "\n", ""
    files: dict[str, str] = _inside(guest).get("files", {})
    if name == "cat" and len(command) == 2:
        if command[1] in files:
            return 0, base64.b64decode(files[command[1]]).decode("utf-8", "replace"), ""
        return 1, "", f"cat: {command[1]}: No such file or directory\n"
    return None


def status(cluster: Cluster, guest: Guest, pid: int) -> dict[str, object]:
    """How a command ended; its output is handed out once, then the pid is unknown."""
    reach(cluster, guest)
    done = _inside(guest).get("processes", {}).pop(str(pid), None)
    if done is None:
        raise ApiError(500, "Agent error: PID " + str(pid) + " does not exist")
    code, out, err = done
    found: dict[str, object] = {"exited": 1, "exitcode": code}
    if out:
        found |= {"out-data": out, "out-truncated": 0}
    return found | ({"err-data": err, "err-truncated": 0} if err else {})


def write_file(cluster: Cluster, guest: Guest, path: str, content: bytes) -> None:
    reach(cluster, guest)
    _inside(guest).setdefault("files", {})[path] = base64.b64encode(content).decode()


def read_file(cluster: Cluster, guest: Guest, path: str) -> bytes:
    """Up to 16 MiB; ApiError 500 with the agent's text for a file that is not there."""
    reach(cluster, guest)
    content = _inside(guest).get("files", {}).get(path)
    if content is None:
        raise ApiError(500, f"Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory")
    return base64.b64decode(content)[:MAX_READ]
