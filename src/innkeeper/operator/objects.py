"""What the operator keeps of a custom resource: enough to decide on, little enough to keep ten thousand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from innkeeper.model.objects import API_VERSION
from innkeeper.model.vitistack import VITISTACK

MACHINES, CONTAINERS, VIRTUAL_MACHINES = "machines", "containers", "virtualmachines"
PROXMOX_CLUSTERS, CLUSTERS, NODES = "proxmoxclusters", "clusters", "proxmoxnodes"
PROFILES, APPLICATIONS = "profiles", "applications"
GUESTS = (MACHINES, CONTAINERS, VIRTUAL_MACHINES)
WAYS = (PROXMOX_CLUSTERS, CLUSTERS)
"""Both kinds of object that lead to a Proxmox cluster."""
RESOURCES: Mapping[str, tuple[str, str]] = {
    PROXMOX_CLUSTERS: (VITISTACK, "ProxmoxCluster"),
    CLUSTERS: (API_VERSION, "Cluster"),
    NODES: (VITISTACK, "ProxmoxNode"),
    PROFILES: (API_VERSION, "Profile"),
    APPLICATIONS: (API_VERSION, "Application"),
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
PRUNE = "innkeeper.dev/prune"
"""`true`: an Application's guests go with the environments that it does not declare any more."""
VMID = "innkeeper.dev/vmid"
CLUSTER = "innkeeper.dev/cluster"
"""What was decided for a new machine, recorded before it is made: its vmid, its cluster (see `cluster_word`)."""

_MATTER = (ADOPT, POWER, RESTART, DELETION, PRUNE, VMID, CLUSTER)


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

    @property
    def told(self) -> str:
        """As people say it: `Container default/web`."""
        return f"{RESOURCES[self.plural][1]} {self.namespace}/{self.name}"


def cluster_word(key: Key) -> str:
    """How a cluster is recorded and told: `namespace/name` for a ProxmoxCluster, `namespace/clusters/name`."""
    return f"{key.namespace}/{key.name}" if key.plural == PROXMOX_CLUSTERS else str(key)


@dataclass(frozen=True, slots=True)
class Owner:
    """The Application that an object was made for."""

    name: str
    uid: str


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
    owner: Owner | None = None

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
            _owner(meta.get("ownerReferences") or ()),
        )

    @property
    def fingerprint(self) -> object:
        """Equal for as long as nothing changed that the operator acts on: its own status is no news to it."""
        return (
            *(self.uid, self.generation, self.deleting, self.finalizers, self.owner),
            *(dict(self.labels), dict(self.annotations)),
        )

    @property
    def ready(self) -> Mapping[str, Any]:
        """The condition Ready, empty where none was told."""
        return next((item for item in self.status.get("conditions") or () if item["type"] == "Ready"), {})


def _owner(references: Sequence[Mapping[str, Any]]) -> Owner | None:
    kind = (API_VERSION, RESOURCES[APPLICATIONS][1])
    found = (item for item in references if item.get("controller") and (item["apiVersion"], item["kind"]) == kind)
    return next((Owner(item["name"], item["uid"]) for item in found), None)
