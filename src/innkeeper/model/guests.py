"""The specs of Container and VirtualMachine, in the words of Proxmox and Kubernetes."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from innkeeper.model.base import VMID, DiskSize, HostName, Memory, MemoryOrZero, Name, Plain, Value
from innkeeper.model.exposure import Expose
from innkeeper.model.inside import Check, Configure


def _interface4(value: str) -> str:
    if value in ("dhcp", "manual"):
        return value
    if "/" not in value:
        raise ValueError(_no_prefix(value, IPv4Address, 24, "dhcp, or manual"))
    try:
        return str(IPv4Interface(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IPv4 address with its prefix length") from None


def _interface6(value: str) -> str:
    if value in ("dhcp", "auto", "manual"):
        return value
    if "/" not in value:
        raise ValueError(_no_prefix(value, IPv6Address, 64, "auto, dhcp, or manual"))
    _no_zone(value)
    try:
        return str(IPv6Interface(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IPv6 address with its prefix length") from None


def _no_prefix(value: str, parse: Callable[[str], object], length: int, words: str) -> str:
    try:
        parse(value)
    except ValueError:
        return f"{value!r} is neither an address with its prefix length nor one of {words}"
    return f"{value!r} lacks its prefix length: write {value}/{length}, or {words}"


def _no_zone(value: str) -> None:
    """A zone (`fe80::1%eth0`) may hold any character, and so could carry a second setting into a property string."""
    if "%" in value:
        raise ValueError(f"an address without a zone: write {value.partition('%')[0]}")


def _plain_address(parse: Callable[[str], object], family: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if "/" in value:
            raise ValueError(f"an address without its prefix length: write {value.partition('/')[0]}")
        _no_zone(value)
        try:
            return str(parse(value))
        except ValueError:
            raise ValueError(f"{value!r} is not an {family} address") from None

    return check


def _mac(value: str) -> str:
    if int(value[:2], 16) & 1:
        raise ValueError("the first byte of a guest's MAC address is even (this one is a multicast address)")
    return value.upper()


def _key(value: str) -> str:
    if "\n" in value.strip() or len(value.split()) < 2:
        raise ValueError("a public key is one line: its type, then its body (ssh-ed25519 AAAA… comment)")
    return value.strip()


_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = rf"({_OCTET}\.){{3}}{_OCTET}"
_V6 = "[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"


def _described(text: str, pattern: str) -> Any:
    """For people, and for who reads only the schema (editors, Kubernetes): our own checks say it better."""
    return Field(description=text, json_schema_extra={"pattern": f"^({pattern})$"})


Address4 = Annotated[
    str,
    AfterValidator(_interface4),
    _described(
        "an IPv4 address with its prefix length such as 10.0.10.42/24, or dhcp, or manual",
        rf"dhcp|manual|{_V4}/(3[0-2]|[12]?[0-9])",
    ),
]
Address6 = Annotated[
    str,
    AfterValidator(_interface6),
    _described(
        "an IPv6 address with its prefix length such as fd00::42/64, or auto, dhcp, or manual",
        rf"auto|dhcp|manual|{_V6}/(12[0-8]|1[01][0-9]|[1-9]?[0-9])",
    ),
]
Gateway4 = Annotated[
    str, AfterValidator(_plain_address(IPv4Address, "IPv4")), _described("an IPv4 address such as 10.0.10.1", _V4)
]
Gateway6 = Annotated[
    str, AfterValidator(_plain_address(IPv6Address, "IPv6")), _described("an IPv6 address such as fd00::1", _V6)
]
NameServer = Annotated[
    str,
    AfterValidator(_plain_address(ip_address, "IPv4 or IPv6")),
    _described("an IP address such as 1.1.1.1", f"{_V4}|{_V6}"),
]
Mac = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$"),
    AfterValidator(_mac),
    _described(
        "a MAC address such as BC:24:11:00:00:2A, its first byte even",
        "[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}",
    ),
]
Vlan = Annotated[int, Field(ge=1, le=4094)]
SSHKey = Annotated[
    str,
    StringConstraints(pattern=r"^(ssh-|ecdsa-|sk-)"),
    AfterValidator(_key),
    Field(description="a public key on one line, such as ssh-ed25519 AAAA… comment"),
]
Tag = Annotated[
    str,
    StringConstraints(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*$"),
    Field(description="letters, digits, _ and inner - + . only"),
]
MountPath = Annotated[
    str,
    StringConstraints(pattern=r"^/[^,=\x00-\x1f]*[^,=/\x00-\x1f]$"),
    Field(description="an absolute path such as /data, without commas and equals signs"),
]
Description = Annotated[str, StringConstraints(max_length=7000), Field(description="text of at most 7000 characters")]
"""Proxmox keeps 8192 characters of notes; the rest is for the marker."""
Need = Annotated[
    str,
    StringConstraints(pattern=r"^(Container|VirtualMachine)/[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
    Field(description="a guest as Container/NAME or VirtualMachine/NAME"),
]
NetSlot = Annotated[str, StringConstraints(pattern=r"^net([0-9]|[12][0-9]|3[01])$"), Field(description="net0 to net31")]
Option = str | int | float | bool


class ContainerCpu(Value):
    cores: Annotated[int, Field(ge=1, le=8192)] | None = None
    limit: Annotated[float, Field(ge=0, le=8192, strict=False)] | None = None
    units: Annotated[int, Field(ge=0, le=500_000)] | None = None


class RootDisk(Value):
    storage: Plain | None = None
    size: DiskSize | None = None


class Mount(Value):
    """A volume of the container; `slot` (mp0…) only where an existing one must be named."""

    path: MountPath
    storage: Plain | None = None
    size: DiskSize | None = None
    source: (
        Annotated[
            str,
            StringConstraints(pattern=r"^/[^,=\x00-\x1f]+$"),
            Field(description="an absolute path on the node, without commas and equals signs"),
        ]
        | None
    ) = None
    """A directory of the node to bind; only a root@pam ticket may."""
    slot: (
        Annotated[
            str,
            StringConstraints(pattern=r"^mp(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$"),
            Field(description="mp0 to mp255"),
        ]
        | None
    ) = None
    backup: bool | None = None
    read_only: bool | None = None
    quota: bool | None = None
    acl: bool | None = None
    replicate: bool | None = None
    shared: bool | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Mount":
        if self.source is not None and (self.size is not None or self.storage is not None):
            raise ValueError("a mount has either a source (a directory of the node) or a storage and size, not both")
        if self.source is None and self.size is None:
            raise ValueError("a mount needs a size (storage may come from the cluster's defaults), or a source")
        return self


class ContainerNic(Value):
    """One interface; `ethN` is Proxmox's `netN` unless `slot` says otherwise."""

    name: Annotated[
        str,
        StringConstraints(pattern=r"^[a-zA-Z0-9_.\-]{1,15}$"),
        Field(description="an interface name such as eth0, at most 15 letters, digits, _ . -"),
    ] = "eth0"
    slot: NetSlot | None = None
    bridge: Plain | None = None
    ip: Address4 | None = None
    gateway: Gateway4 | None = None
    ip6: Address6 | None = None
    gateway6: Gateway6 | None = None
    vlan: Vlan | None = None
    trunks: tuple[Vlan, ...] | None = None
    firewall: bool | None = None
    mac: Mac | None = None
    mtu: Annotated[int, Field(ge=64, le=65535)] | None = None
    rate: Annotated[float, Field(gt=0, strict=False)] | None = None
    link_down: bool | None = None


class Dns(Value):
    nameservers: tuple[NameServer, ...] | None = None
    search: HostName | None = None


class Features(Value):
    nesting: bool | None = None
    keyctl: bool | None = None
    fuse: bool | None = None
    mknod: bool | None = None
    force_rw_sys: bool | None = None
    mount: (
        tuple[
            Annotated[
                str,
                StringConstraints(pattern=r"^[a-zA-Z0-9_]+$"),
                Field(description="a file system type such as nfs or cifs"),
            ],
            ...,
        ]
        | None
    ) = None


class GuestSpec(Value):
    """What both kinds share. A field that is not named is left as it is on the guest."""

    cluster: Name | None = None
    vmid: VMID | None = None
    node: Plain | None = None
    profile: Name | None = None
    hostname: HostName | None = None
    start_on_boot: bool | None = None
    running: bool | None = None
    tags: tuple[Tag, ...] | None = None
    description: Description | None = None
    pool: Plain | None = None
    protected: bool | None = None
    needs: tuple[Need, ...] = ()
    restart: Literal["never", "whenNeeded"] = "never"
    options: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")], Option] = {}
    configure: Configure | None = None
    health: tuple[Check, ...] | None = None
    expose: Expose | None = None
    monitoring: bool | None = None


class ContainerSpec(GuestSpec):
    template: Plain | None = None
    cpu: ContainerCpu | None = None
    memory: Memory | None = None
    swap: MemoryOrZero | None = None
    root_disk: RootDisk | None = None
    mounts: tuple[Mount, ...] | None = None
    network: tuple[ContainerNic, ...] | None = None
    dns: Dns | None = None
    features: Features | None = None
    unprivileged: bool | None = None
    ssh_keys: tuple[SSHKey, ...] | None = None


class VirtualMachineCpu(Value):
    cores: Annotated[int, Field(ge=1, le=8192)] | None = None
    sockets: Annotated[int, Field(ge=1, le=64)] | None = None
    type: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[a-zA-Z0-9._-]+$"),
            Field(description="a CPU type such as host or x86-64-v2-AES"),
        ]
        | None
    ) = None
    limit: Annotated[float, Field(ge=0, le=128, strict=False)] | None = None
    units: Annotated[int, Field(ge=1, le=262_144)] | None = None


DiskSlot = Annotated[
    str,
    StringConstraints(
        pattern=r"^(ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30)|virtio([0-9]|1[0-5])|efidisk0|tpmstate0)$"
    ),
    Field(description="ide0 to ide3, sata0 to sata5, scsi0 to scsi30, virtio0 to virtio15, efidisk0 or tpmstate0"),
]


class Disk(Value):
    slot: DiskSlot
    storage: Plain | None = None
    size: DiskSize | None = None
    format: Literal["raw", "qcow2", "vmdk"] | None = None
    cache: Literal["none", "writethrough", "writeback", "unsafe", "directsync"] | None = None
    import_from: Plain | None = None
    """A volume to copy the first content from (`local:import/debian-12.qcow2`); used at create only."""
    discard: bool | None = None
    ssd: bool | None = None
    iothread: bool | None = None
    backup: bool | None = None
    replicate: bool | None = None


class VirtualMachineNic(Value):
    slot: NetSlot = "net0"
    model: Literal["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"] = "virtio"
    bridge: Plain | None = None
    mac: Mac | None = None
    vlan: Vlan | None = None
    trunks: tuple[Vlan, ...] | None = None
    firewall: bool | None = None
    mtu: Annotated[int, Field(ge=1, le=65520)] | None = None
    rate: Annotated[float, Field(ge=0, strict=False)] | None = None
    queues: Annotated[int, Field(ge=0, le=64)] | None = None
    link_down: bool | None = None


class CloudInit(Value):
    """`storage` puts the cloud-init drive there, at `slot`; ip, gateway … are those of net0 (`ipconfig0`)."""

    storage: Plain | None = None
    slot: Annotated[
        str,
        StringConstraints(pattern=r"^(ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30))$"),
        Field(description="ide0 to ide3, sata0 to sata5, or scsi0 to scsi30"),
    ] = "ide2"
    user: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]*$"),
            Field(description="a user name: lower-case letters, digits, _ . -"),
        ]
        | None
    ) = None
    ssh_keys: tuple[SSHKey, ...] | None = None
    ip: Address4 | None = None
    gateway: Gateway4 | None = None
    ip6: Address6 | None = None
    gateway6: Gateway6 | None = None
    nameservers: tuple[NameServer, ...] | None = None
    search: HostName | None = None
    upgrade: bool | None = None


class Clone(Value):
    """The template, by vmid or name; a linked clone (`full: false`) shares the template's storage."""

    template: VMID | HostName
    full: bool = True
    storage: Plain | None = None

    @model_validator(mode="after")
    def _linked_stays(self) -> "Clone":
        if not self.full and self.storage is not None:
            raise ValueError("a linked clone lies on its template's storage: leave storage out, or full: false")
        return self


class VirtualMachineSpec(GuestSpec):
    cpu: VirtualMachineCpu | None = None
    memory: Memory | None = None
    balloon: MemoryOrZero | None = None
    disks: tuple[Disk, ...] | None = None
    network: tuple[VirtualMachineNic, ...] | None = None
    cloud_init: CloudInit | None = None
    clone: Clone | None = None
    boot_order: (
        tuple[
            Annotated[
                str, StringConstraints(pattern=r"^[a-z]+\d+$"), Field(description="a device such as scsi0 or net0")
            ],
            ...,
        ]
        | None
    ) = None
    os_type: (
        Literal[
            "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris"
        ]
        | None
    ) = None
    agent: bool | None = None
    firmware: Literal["seabios", "ovmf"] | None = None
    machine: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[a-z0-9.+-]+$"),
            Field(description="a machine type such as q35 or pc-i440fx-9.0"),
        ]
        | None
    ) = None
