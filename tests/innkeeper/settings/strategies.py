"""Manifests of both kinds, as Hypothesis makes them: every field, within what Proxmox takes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_LABEL = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_TAG = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_\-+.]{0,6}", fullmatch=True)
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=60)
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvZ1dYGj0uYw1v1t2v3w4x5y6z7A8B9C0D1E2F3G4H5"
_KEYS = st.lists(st.sampled_from([f"{_KEY} me@x", f"{_KEY} you+two words", _KEY]), min_size=1, max_size=3, unique=True)
_IP4 = st.integers(2, 250).map(lambda last: f"10.1.2.{last}")
_CIDR4 = st.one_of(
    st.sampled_from(["dhcp", "manual"]), st.tuples(_IP4, st.integers(8, 30)).map(lambda p: f"{p[0]}/{p[1]}")
)
_CIDR6 = st.sampled_from(["auto", "dhcp", "fd00::1/64", "FD00:0:0::00AB/48"])
_NAMESERVERS = st.lists(st.sampled_from(["1.1.1.1", "9.9.9.9", "2620:FE::FE"]), min_size=1, max_size=3, unique=True)
_MAC = st.from_regex(r"BC:24:11:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}", fullmatch=True)
_VLAN = st.integers(1, 4094)
_MIB = st.integers(16, 5000).map(lambda size: f"{size}Mi")
_MIB_OR_ZERO = st.one_of(st.just(0), _MIB)
_DISK = st.sampled_from(["1Gi", "2Gi", "1.5Gi", "513Mi", "4096Mi"])
_STORAGE = st.sampled_from(["btr", "local"])


def _some(required: dict[str, Any] | None = None, /, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required or {}, optional=optional)


_COMMON: dict[str, st.SearchStrategy[Any]] = {
    "hostname": st.one_of(_LABEL, st.just("Web-1.Example.org")),
    "startOnBoot": st.booleans(),
    "tags": st.lists(_TAG, max_size=4),
    "description": _TEXT,
    "pool": st.just("apps"),
}
_NIC: dict[str, st.SearchStrategy[Any]] = {
    "bridge": st.sampled_from(["vmbr0", "vmbr1"]),
    "vlan": _VLAN,
    "trunks": st.lists(_VLAN, min_size=1, max_size=3, unique=True),
    "firewall": st.booleans(),
    "mac": _MAC,
    "mtu": st.integers(576, 1500),
    "rate": st.sampled_from([1, 2.5, 100]),
    "linkDown": st.booleans(),
}


def _nics(item: st.SearchStrategy[Any], key: str) -> st.SearchStrategy[Any]:
    return st.lists(item, max_size=3, unique_by=lambda nic: nic[key])


_container_nic = _some(
    {"name": st.sampled_from(["eth0", "eth1", "eth7"])},
    **_NIC,
    ip=_CIDR4,
    gateway=_IP4,
    ip6=_CIDR6,
    gateway6=st.just("fd00::fffe"),
)
_mount = _some(
    {"path": st.sampled_from(["/data", "/srv/a b", "/var/lib/x.y"]), "size": _DISK},
    storage=_STORAGE,
    backup=st.booleans(),
    readOnly=st.booleans(),
    acl=st.booleans(),
    replicate=st.booleans(),
    shared=st.booleans(),
    quota=st.booleans(),
)
containers: st.SearchStrategy[dict[str, Any]] = _some(
    None,
    **_COMMON,
    cpu=_some(cores=st.integers(1, 64), limit=st.sampled_from([0, 0.5, 2, 1.25]), units=st.integers(0, 500_000)),
    memory=_MIB,
    swap=_MIB_OR_ZERO,
    rootDisk=_some(storage=_STORAGE, size=_DISK),
    mounts=st.lists(_mount, max_size=3, unique_by=lambda mount: mount["path"]),
    network=_nics(_container_nic, "name"),
    dns=_some(nameservers=_NAMESERVERS, search=st.sampled_from(["example.org", "lan"])),
    features=_some(
        nesting=st.booleans(),
        keyctl=st.booleans(),
        fuse=st.booleans(),
        mknod=st.booleans(),
        mount=st.lists(st.sampled_from(["nfs", "cifs"]), min_size=1, max_size=2, unique=True),
    ),
    unprivileged=st.booleans(),
    sshKeys=_KEYS,
    options=_some(
        console=st.sampled_from([0, 1, True]),
        tty=st.integers(0, 6),
        cmode=st.sampled_from(["shell", "console", "tty"]),
        startup=st.sampled_from(["order=1,up=5", "3", "up=1,down=2"]),
        timezone=st.sampled_from(["host", "Europe/Vienna"]),
        debug=st.booleans(),
    ),
)
"""Specs of containers, without `running`: that belongs to the test."""

_disk = _some(
    {"slot": st.sampled_from(["scsi0", "scsi1", "virtio2", "sata0", "ide0"]), "size": _DISK},
    storage=_STORAGE,
    cache=st.sampled_from(["none", "writethrough", "writeback", "unsafe", "directsync"]),
    discard=st.booleans(),
    backup=st.booleans(),
    replicate=st.booleans(),
)
_firmware_disk = _some({"slot": st.sampled_from(["efidisk0", "tpmstate0"])}, storage=_STORAGE)
_nic = _some(
    {"slot": st.sampled_from(["net0", "net1", "net31"])},
    **_NIC,
    model=st.sampled_from(["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"]),
    queues=st.integers(0, 4),
)
_machine = _some(
    None,
    **_COMMON,
    cpu=_some(
        cores=st.integers(1, 64),
        sockets=st.integers(1, 4),
        type=st.sampled_from(["host", "x86-64-v2-AES", "kvm64"]),
        limit=st.sampled_from([0, 0.5, 2]),
        units=st.integers(1, 262_144),
    ),
    memory=st.integers(32, 5000).map(lambda size: f"{size}Mi"),
    balloon=st.sampled_from([0, "16Mi", "32Mi"]),
    disks=st.lists(st.one_of(_disk, _firmware_disk), max_size=4, unique_by=lambda disk: disk["slot"]),
    network=_nics(_nic, "slot"),
    cloudInit=_some(
        storage=_STORAGE,
        slot=st.sampled_from(["ide2", "ide3", "scsi9"]),
        user=st.just("admin"),
        sshKeys=_KEYS,
        ip=_CIDR4.filter(lambda text: text != "manual"),
        gateway=_IP4,
        ip6=_CIDR6,
        gateway6=st.just("fd00::fffe"),
        nameservers=_NAMESERVERS,
        search=st.just("example.org"),
        upgrade=st.booleans(),
    ),
    osType=st.sampled_from(["l26", "other", "win11", "w2k8"]),
    agent=st.booleans(),
    firmware=st.sampled_from(["seabios", "ovmf"]),
    machine=st.sampled_from(["pc", "q35"]),
    options=_some(
        acpi=st.booleans(),
        scsihw=st.sampled_from(["virtio-scsi-single", "virtio-scsi-pci"]),
        vga=st.sampled_from(["serial0", "std,memory=16", "type=virtio"]),
        serial0=st.just("socket"),
        startup=st.sampled_from(["order=1,up=5", "3"]),
        tablet=st.sampled_from([0, 1]),
        hotplug=st.sampled_from(["disk,network", "network,disk,usb"]),
        rng0=st.just("source=/dev/urandom"),
        shares=st.integers(0, 5000),
        ipconfig1=st.just("ip=dhcp"),
        smbios1=st.just("uuid=6883966d-a385-420e-9b03-44257dabcf16"),
    ),
)


def _consistent(spec: dict[str, Any]) -> dict[str, Any]:
    """What Proxmox asks for across fields: a gateway has its address, a boot order names devices that exist."""
    cloud_init = spec.get("cloudInit", {})
    for gateway, address in (("gateway", "ip"), ("gateway6", "ip6")):
        if "/" not in cloud_init.get(address, ""):
            cloud_init.pop(gateway, None)
    bootable = [disk["slot"] for disk in spec.get("disks", []) if disk["slot"] not in ("efidisk0", "tpmstate0")]
    if len(bootable) > 1:
        spec["bootOrder"] = bootable[::-1]
    return spec


machines: st.SearchStrategy[dict[str, Any]] = _machine.map(_consistent)
"""Specs of virtual machines, without `running`."""


def specs(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return containers if kind == "Container" else machines
