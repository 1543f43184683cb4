"""What the operator keeps of a custom resource: enough to decide on, little enough to keep ten thousand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from innkeeper.model.objects import API_VERSION
from innkeeper.model.vitistack import VITISTACK

MACHINES, CONTAINERS, VIRTUAL_MACHINES = "machines", "containers", "virtualmachines"
CLUSTERS, NODES, PROFILES = "proxmoxclusters", "proxmoxnodes", "profiles"
GUESTS = (MACHINES, CONTAINERS, VIRTUAL_MACHINES)
RESOURCES: Mapping[str, tuple[str, str]] = {
    CLUSTERS: (VITISTACK, "ProxmoxCluster"),
    NODES: (VITISTACK, "ProxmoxNode"),
    PROFILES: (API_VERSION, "Profile"),
    MACHINES: (VITISTACK, "Machine"),
    CONTAINERS: (API_VERSION, "Container"),
    VIRTUAL_MACHINES: (API_VERSION, "VirtualMachine"),
}
"""What the operator knows, by plural: its apiVersion and kind. Guests come last: what they need is known before."""

ADOPT = "innkeeper.dev/adopt"
POWER = "innkeeper.dev/power"
"""`start` and `stop` hold for as long as they stand; `restart` is done once and becomes `start`."""
RESTART = "innkeeper.dev/restart"
"""`never` (left out) or `whenNeeded`: whether a change may restart the machine."""
DELETION = "innkeeper.dev/deletion"
"""`orphan`: when the object is deleted its machine stays, and belongs to nobody."""
VMID = "innkeeper.dev/vmid"
CLUSTER = "innkeeper.dev/cluster"
"""What was decided for a new machine, recorded before it is made: its vmid, its ProxmoxCluster (namespace/name)."""

_MATTER = (ADOPT, POWER, RESTART, DELETION, VMID, CLUSTER)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """An object's identity: its plural (`machines`), its namespace, its name."""

    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.plural}/{self.name}"

    @property
    def path(self) -> str:
        """Of the object, at the API server."""
        return f"/apis/{RESOURCES[self.plural][0]}/namespaces/{self.namespace}/{self.plural}/{self.name}"

    @property
    def native(self) -> bool:
        return RESOURCES[self.plural][0] == API_VERSION


@dataclass(frozen=True, slots=True)
class Object:
    """One custom resource as the API server showed it last."""

    key: Key
    uid: str
    generation: int
    version: str
    """`metadata.resourceVersion`: a write that carries it fails when somebody wrote meanwhile."""
    created: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    finalizers: tuple[str, ...]
    deleting: bool
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    @classmethod
    def of(cls, plural: str, body: Mapping[str, Any]) -> "Object":
        """From the API server's JSON; only annotations that mean something here are kept."""
        meta = body["metadata"]
        annotations = meta.get("annotations") or {}
        return cls(
            Key(plural, meta.get("namespace", ""), meta["name"]),
            meta["uid"],
            meta.get("generation", 0),
            meta["resourceVersion"],
            meta.get("creationTimestamp", ""),
            dict(meta.get("labels") or {}),
            {name: annotations[name] for name in _MATTER if name in annotations},
            tuple(meta.get("finalizers") or ()),
            bool(meta.get("deletionTimestamp")),
            body.get("spec") or {},
            body.get("status") or {},
        )

    @property
    def fingerprint(self) -> object:
        """Equal for as long as nothing changed that the operator acts on: its own status is no news to it."""
        return self.uid, self.generation, self.deleting, dict(self.labels), dict(self.annotations), self.finalizers
