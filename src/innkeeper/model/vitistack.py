"""The kinds of `vitistack.io/v1alpha1` as published: their fields, limits, units and defaults, and nothing else.

What is a range here is enforced by whoever reads the object: by Kubernetes' API server (the custom resource definitions
are made from these models) and by Innkeeper where the same manifests are files.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from innkeeper.model.base import VMID, HostName, Plain, Value
from innkeeper.model.guests import Mac, Vlan
from innkeeper.model.units import MiB

VITISTACK = "vitistack.io/v1alpha1"
CLUSTER_LABEL = "cluster.vitistack.io/cluster-name"
"""The label that names a Machine's ProxmoxCluster."""
FINALIZER = "vitistack.io/proxmox-machine"
ASSIGNED = (10_000, 99_999)
"""The vmids that are assigned to Machines that name none; 100–999 are templates', 1000–9999 a person's."""

Phase = Literal["Pending", "Creating", "Running", "Stopped", "Error"]
Reason = Annotated[
    str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
]
Bytes = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


class MachineCpu(Value):
    cores: Annotated[int, Field(ge=1, le=128)] = 1
    sockets: Annotated[int, Field(ge=1, le=4)] = 1
    threads_per_core: Annotated[int, Field(ge=1, le=2)] = 1


class MachineDisk(Value):
    """`{type}{index}: {storage}:{size}[,format=][,cache=]`; the index counts the disks of the same type."""

    name: Plain | None = None
    size: Annotated[
        str, StringConstraints(pattern=r"^[1-9]\d{0,9}[MGT]$"), Field(description="a size such as 20G or 1T")
    ]
    storage: Plain | None = None
    type: Literal["ide", "sata", "scsi", "virtio"] = "scsi"
    cache: Literal["none", "writethrough", "writeback"] | None = None
    format: Literal["raw", "qcow2", "vmdk"] | None = None


class MachineNetwork(Value):
    """`{model},bridge=…[,macaddr=…][,tag=…]`; the first is net0."""

    name: Plain | None = None
    bridge: Plain | None = None
    model: Literal["e1000", "virtio", "rtl8139"] = "virtio"
    mac_address: Mac | None = None
    vlan: Vlan | None = None
    firewall: bool | None = None


class MachineSpec(Value):
    """`memory` is in bytes. `template` is the name or the vmid of a template; without it the disks are new."""

    name: HostName | None = None
    vmid: VMID | None = None
    node: Plain | None = None
    template: Plain | None = None
    cpu: MachineCpu = MachineCpu()
    memory: Annotated[
        int,
        Field(
            ge=64 * MiB,
            json_schema_extra={"format": "int64"},
            description="bytes, at least 67108864 (64 MB), at most what the node has",
        ),
    ] = 512 * MiB
    disks: tuple[MachineDisk, ...] = ()
    networks: tuple[MachineNetwork, ...] = ()
    os_type: Literal["linux", "windows", "solaris", "other"] = "linux"
    boot_order: tuple[Literal["disk", "network", "cdrom"], ...] = ()
    agent: bool | None = None
    balloon: bool | None = None
    protection: bool | None = None


class StatusCondition(Value):
    type: Annotated[str, StringConstraints(min_length=1, max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: Annotated[str, StringConstraints(max_length=32768)]
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None


class MachineStatus(Value):
    phase: Phase | None = None
    conditions: tuple[StatusCondition, ...] | None = None
    vmid: int | None = None
    node: str | None = None
    ip_addresses: tuple[str, ...] | None = None
    last_updated: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    provider_id: Annotated[str, Field(description="proxmox://node/vmid")] | None = Field(
        default=None, alias="providerID"
    )


class KeyOfSecret(Value):
    """One key of a Secret in the object's own namespace."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    key: Annotated[str, StringConstraints(min_length=1, max_length=253)]


class FromSecret(Value):
    secret_ref: KeyOfSecret


class ProxmoxCredentials(Value):
    """A user with a password, or a token with its secret; a user and a token's name may stand there as they are.

    The published example gives `username` beside `tokenID: operator-token`; together they are `user@realm!token`.
    """

    username: str | FromSecret | None = None
    password: FromSecret | None = None
    token_id: str | FromSecret | None = Field(default=None, alias="tokenID")
    token_secret: FromSecret | None = None

    @model_validator(mode="after")
    def _one(self) -> "ProxmoxCredentials":
        token, user = (self.token_id, self.token_secret), (self.username, self.password)
        if not (all(token) and self.password is None) and not (all(user) and not any(token)):
            raise ValueError("name tokenID with tokenSecret, or username with password")
        return self


class ProxmoxClusterSpec(Value):
    """`nodes`, `storages` and `networks` are those that may be used; left out, all of them."""

    endpoint: Annotated[
        str,
        StringConstraints(pattern=r"^https://[^/\s?#@]+(/|/api2/json/?)?$"),
        Field(description="an https URL such as https://pve1.example.org:8006"),
    ]
    insecure_skip_tls_verify: bool = Field(default=False, alias="insecureSkipTLSVerify")
    credentials: ProxmoxCredentials
    ca_certificate: Annotated[str, Field(description="certificates in PEM form")] | None = None
    client_certificate: Annotated[str, Field(description="a certificate in PEM form")] | None = None
    client_key: Annotated[str, Field(description="the private key of clientCertificate in PEM form")] | None = None
    nodes: tuple[Plain, ...] = ()
    storages: tuple[Plain, ...] = ()
    networks: tuple[Plain, ...] = ()


class ProxmoxClusterStatus(Value):
    ready: bool | None = None
    version: str | None = None
    nodes: tuple[str, ...] | None = None
    last_health_check: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    conditions: tuple[StatusCondition, ...] | None = None


class ProxmoxNodeSpec(Value):
    """`maxVMs`: the operator places no machine on a node that has so many already."""

    cluster: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    node_name: Plain
    max_vms: Annotated[int, Field(ge=0)] | None = Field(default=None, alias="maxVMs")


class Capacity(Value):
    total: float | None = None
    used: float | None = None


class ByteCapacity(Value):
    total: Bytes | None = None
    used: Bytes | None = None


class NodeResources(Value):
    """Memory and storage in bytes, processors in cores."""

    cpu: Capacity | None = None
    memory: ByteCapacity | None = None
    storage: ByteCapacity | None = None


class ProxmoxNodeStatus(Value):
    ready: bool | None = None
    resources: NodeResources | None = None
    vm_count: int | None = Field(default=None, alias="vmCount")
    conditions: tuple[StatusCondition, ...] | None = None
