"""Everything that the simulated cluster knows: plain records, looked up and changed by the handlers of the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pvesim.backends.record import Backend, RecordBackend
from pvesim.cluster import guestconfig
from pvesim.cluster.clock import Clock
from pvesim.cluster.locks import Locks
from pvesim.cluster.tasks import Tasks
from pvesim.errors import ApiError

Kind = Literal["lxc", "qemu"]
Config = dict[str, str]  # one section of a guest's config file: key -> value as in the file; "description" unencoded


@dataclass
class Node:
    """One host; `memory` in bytes; `address` is what clients of its cluster know it by."""

    name: str
    nodeid: int
    cpus: int
    memory: int
    address: str
    online: bool = True
    fingerprint: str = ""
    booted_at: float = 0
    dns: dict[str, str] = field(default_factory=lambda: {"search": "", "dns1": "10.255.255.53"})
    timezone: str = "Etc/UTC"
    config: dict[str, Any] = field(default_factory=dict)
    network: dict[str, dict[str, Any]] = field(default_factory=dict)  # interfaces by name, as /network shows them


@dataclass
class Storage:
    """One entry of storage.cfg; `options` are its remaining keys as in the file (content, path, nodes, …)."""

    storage: str
    type: str
    options: dict[str, Any] = field(default_factory=dict)
    total: int = 500 * 2**30

    @property
    def content(self) -> frozenset[str]:
        return frozenset(filter(None, str(self.options.get("content", "")).split(",")))

    @property
    def shared(self) -> bool:
        return bool(self.options.get("shared")) or self.type in {
            "nfs",
            "cifs",
            "rbd",
            "cephfs",
            "pbs",
            "iscsi",
            "glusterfs",
        }

    @property
    def enabled(self) -> bool:
        return not self.options.get("disable")

    def on(self, node: str) -> bool:
        """Whether `nodes` lets that node use it."""
        nodes = str(self.options.get("nodes") or "")
        return not nodes or node in nodes.split(",")


@dataclass
class Volume:
    """One volume; sizes in bytes; `node` is "" on a shared storage."""

    volid: str
    node: str
    size: int
    format: str
    content: str
    vmid: int | None = None
    ctime: int = 0
    used: int = 0
    parent: str | None = None
    notes: str | None = None
    protected: bool = False
    snapshots: dict[str, int] = field(default_factory=dict)  # name -> size at that time
    extra: dict[str, Any] = field(default_factory=dict)  # what backups and templates carry: the guest config inside, …


@dataclass
class Snapshot:
    """One snapshot of a guest; `config` is the section without the snapshot's own keys; `time` in seconds."""

    name: str
    time: int
    parent: str | None = None
    description: str = ""
    config: Config = field(default_factory=dict)
    raw_lxc: list[list[str]] = field(default_factory=list)
    vmstate: str | None = None  # qemu: the volume with the memory
    state: str | None = None  # "prepare", "delete" while it is made or removed
    extra: Config = field(default_factory=dict)  # runningmachine, runningcpu, …

    def as_config(self) -> Config:
        """The section as the file has it."""
        own = {"snaptime": str(self.time), "description": self.description, "parent": self.parent or ""}
        own |= {"vmstate": self.vmstate or "", "snapstate": self.state or ""}
        return self.config | self.extra | {key: value for key, value in own.items() if value}


@dataclass
class Guest:
    """One container or virtual machine."""

    vmid: int
    kind: Kind
    node: str
    config: Config = field(default_factory=dict)
    pending: Config = field(default_factory=dict)
    pending_delete: dict[str, bool] = field(default_factory=dict)  # key -> by force
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    raw_lxc: list[list[str]] = field(default_factory=list)  # `lxc.*` lines: [key, value]
    cloudinit: Config = field(default_factory=dict)  # qemu: what the drive was generated from
    running: Config | None = None  # the config that it was started with; None: stopped
    paused: bool = False
    started_at: float | None = None
    pid: int | None = None
    created_at: float = 0
    firewall: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)  # what only its kind knows (agent files, rrd, …); JSON values

    @property
    def is_template(self) -> bool:
        return self.config.get("template") == "1"

    @property
    def path(self) -> str:
        """Its file below /etc/pve."""
        return f"nodes/{self.node}/{'lxc' if self.kind == 'lxc' else 'qemu-server'}/{self.vmid}.conf"


@dataclass
class Pool:
    poolid: str
    comment: str = ""
    vms: set[int] = field(default_factory=set)
    storage: set[str] = field(default_factory=set)


@dataclass
class Token:
    """An API token; `expire` in seconds since the epoch, 0: never."""

    tokenid: str
    value: str
    privsep: bool = True
    expire: int = 0
    comment: str = ""


@dataclass
class User:
    """`password` is salted and hashed; `tokens` by the part after the `!`."""

    userid: str
    enable: bool = True
    expire: int = 0
    password: str = ""
    details: dict[str, str] = field(default_factory=dict)  # firstname, lastname, email, comment, keys
    tokens: dict[str, Token] = field(default_factory=dict)


@dataclass
class Group:
    groupid: str
    comment: str = ""
    users: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class AclEntry:
    path: str
    type: Literal["user", "group", "token"]
    ugid: str
    roleid: str
    propagate: bool = True


@dataclass
class Realm:
    realm: str
    type: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Cluster:
    """The whole world. `name` is None for a node that stands alone; `version` such as `9.1.9` decides defaults."""

    clock: Clock
    version: str = "9.1.9"
    name: str | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    volumes: dict[tuple[str, str], Volume] = field(default_factory=dict)  # (node or "" when shared, volid)
    guests: dict[int, Guest] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=dict)  # those that somebody made; built-in ones: access.py
    realms: dict[str, Realm] = field(default_factory=dict)
    acl: set[AclEntry] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)  # datacenter.cfg
    ha: dict[str, Any] = field(default_factory=dict)
    firewall: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, Any] = field(default_factory=dict)  # jobs.cfg: backup jobs by id
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)  # other config files: sections by id, by file
    secrets: dict[str, str] = field(default_factory=dict)  # keys that sign tickets
    quorum_lost: bool = False
    stats: dict[int, dict[str, Any]] | None = None  # what pvestatd last saw of guests; None: as it is now
    backend: Backend = field(default_factory=RecordBackend)
    tasks: Tasks = field(init=False)
    locks: Locks = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = Tasks(self.clock)
        self.locks = Locks(self.clock)
        self.locks.quorate = lambda: self.quorate

    @property
    def major(self) -> int:
        """8 or 9."""
        return int(self.version.partition(".")[0])

    @property
    def release(self) -> str:
        """`8.4` or `9.1`, the schema's version."""
        return ".".join(self.version.split(".")[:2])

    @property
    def quorate(self) -> bool:
        """Whether /etc/pve can be written."""
        online = sum(node.online for node in self.nodes.values())
        return not self.quorum_lost and online * 2 > len(self.nodes)

    def check_quorum(self) -> None:
        """ApiError 500 where Proxmox refuses to begin without quorum (PVE::Cluster, check_cfs_quorum)."""
        if not self.quorate:
            raise ApiError(500, "cluster not ready - no quorum?")

    def writable(self, guest: Guest) -> None:
        """ApiError 500 where the config file cannot be written; call it before changing anything."""
        if not self.quorate:
            raise ApiError(
                500, f"unable to open file '/etc/pve/{guest.path}.tmp.{self.tasks.pid()}' - Permission denied"
            )

    def guest(self, node: str, kind: Kind, vmid: int) -> Guest:
        """The guest, or ApiError 500: it is missing, lives on another node, or is of the other kind."""
        found = self.guests.get(vmid)
        if found is None or found.kind != kind or found.node != node:
            where = Guest(vmid, kind, node).path
            raise ApiError(500, f"Configuration file '{where}' does not exist")
        return found

    def digest(self, guest: Guest) -> str:
        """SHA-1 of the raw config file."""
        return guestconfig.digest(guest)

    def pool_of(self, vmid: int) -> str | None:
        return next((pool.poolid for pool in self.pools.values() if vmid in pool.vms), None)

    def forget_guest(self, vmid: int) -> None:
        """Remove the guest's config, its place in pools and its ACL entries (what every destroy does)."""
        self.guests.pop(vmid, None)
        for pool in self.pools.values():
            pool.vms.discard(vmid)
        self.acl = {entry for entry in self.acl if entry.path != f"/vms/{vmid}"}
