"""A form's fields as a manifest's spec, and a guest's spec as a form. Pure."""

from typing import Any

from innkeeper.control.forms import Form
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import Guest
from innkeeper.model.units import GiB, MiB


def spec_of(form: Form) -> dict[str, Any]:
    """The spec in file spelling; only what was said stands in it."""
    spec: dict[str, Any] = {
        "cluster": form.cluster,
        "node": form.node,
        "profile": form.profile,
        "hostname": form.hostname if form.hostname != form.name else "",
        "description": form.description,
        "cpu": {"cores": form.cores} if form.cores is not None else {},
        "memory": f"{form.memory}Mi" if form.memory is not None else "",
        "protected": True if form.protected else "",
        "monitoring": True if form.monitoring else "",
        "expose": _expose(form),
    }
    spec |= _machine(form) if form.kind == "VirtualMachine" else _container(form)
    found = {key: value for key, value in spec.items() if value not in ("", {}, [], None)}
    return found | {"startOnBoot": form.start_on_boot, "running": form.start}


def _expose(form: Form) -> dict[str, Any]:
    if not form.expose:
        return {}
    found: dict[str, Any] = {"domain": form.domain}
    if form.port is not None:
        found["port"] = form.port
    if form.public:
        found["public"] = True
    if form.auth:
        found["auth"] = True
    return found


def _container(form: Form) -> dict[str, Any]:
    nic = _without_empty({"name": "eth0", "bridge": form.bridge, "vlan": form.vlan, **_addresses(form)})
    disk = _without_empty({"storage": form.storage, "size": f"{form.disk}Gi" if form.disk is not None else ""})
    return {"template": form.template, "rootDisk": disk, "network": [nic], "sshKeys": list(form.ssh_keys)}


def _machine(form: Form) -> dict[str, Any]:
    nic = _without_empty({"slot": "net0", "bridge": form.bridge, "vlan": form.vlan})
    size = f"{form.disk}Gi" if form.disk is not None else ""
    disk = _without_empty({"slot": "scsi0", "storage": form.storage, "size": size}) if size else {}
    clone: dict[str, Any] = {}
    if form.template:
        clone = {"template": int(form.template) if form.template.isdigit() else form.template}
    init = {**_addresses(form), **({"sshKeys": list(form.ssh_keys)} if form.ssh_keys else {})} if clone else {}
    return {"clone": clone, "disks": [disk] if disk else [], "network": [nic], "cloudInit": init}


def _addresses(form: Form) -> dict[str, Any]:
    if form.network == "static":
        return _without_empty({"ip": form.address, "gateway": form.gateway})
    return {"ip": "dhcp"}


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in ("", None)}


def form_from(source: str, guest: Guest) -> Form:
    """What a guest's manifest says, its profile's defaults filled in."""
    spec = guest.spec
    common: dict[str, Any] = {
        "source": source,
        "kind": guest.ref.kind,
        "name": guest.ref.name,
        "profile": spec.profile or "",
        "cluster": spec.cluster or "",
        "hostname": spec.hostname or "",
        "description": spec.description or "",
        "node": spec.node or "",
        "cores": spec.cpu.cores if spec.cpu else None,
        "memory": spec.memory // MiB if spec.memory else None,
        "start": spec.running is not False,
        "start_on_boot": spec.start_on_boot is not False,
        "protected": bool(spec.protected),
        "monitoring": bool(spec.monitoring),
        "original": str(guest.ref),
    }
    if spec.expose is not None:
        common |= {
            "expose": True,
            "domain": spec.expose.domain,
            "port": spec.expose.port,
            "public": spec.expose.public,
            "auth": spec.expose.auth,
        }
    return Form(**common, **(_of_container(spec) if isinstance(spec, ContainerSpec) else _of_machine(spec)))


def _of_container(spec: ContainerSpec) -> dict[str, Any]:
    nic = spec.network[0] if spec.network else None
    disk = spec.root_disk
    found: dict[str, Any] = {
        "template": spec.template or "",
        "storage": (disk.storage or "") if disk else "",
        "disk": disk.size // GiB if disk and disk.size else None,
        "ssh_keys": spec.ssh_keys or (),
    }
    if nic is not None:
        found |= {"bridge": nic.bridge or "", "vlan": nic.vlan, **_network(nic.ip, nic.gateway)}
    return found


def _of_machine(spec: VirtualMachineSpec) -> dict[str, Any]:
    nic = spec.network[0] if spec.network else None
    disk = next((item for item in spec.disks or () if item.slot not in ("efidisk0", "tpmstate0")), None)
    init = spec.cloud_init
    found: dict[str, Any] = {
        "template": str(spec.clone.template) if spec.clone else "",
        "storage": (disk.storage or "") if disk else "",
        "disk": disk.size // GiB if disk and disk.size else None,
        "ssh_keys": (init.ssh_keys or ()) if init else (),
    }
    if nic is not None:
        found |= {"bridge": nic.bridge or "", "vlan": nic.vlan}
    return found | (_network(init.ip, init.gateway) if init else {})


def _network(ip: str | None, gateway: str | None) -> dict[str, Any]:
    static = ip is not None and "/" in ip
    return {"network": "static" if static else "dhcp", "address": ip if static else "", "gateway": gateway or ""}
