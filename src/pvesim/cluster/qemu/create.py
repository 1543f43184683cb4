"""Creating a virtual machine: what is refused at once, and what the task does (PVE::API2::Qemu, create_vm)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pvesim.cluster import access, guestlock, storage
from pvesim.cluster.qemu import disks, machine, options, properties, settings
from pvesim.cluster.qemu.rights import (
    Caller,
    check_bridges,
    check_device,
    check_settings,
    check_storages,
    check_tags,
)
from pvesim.cluster.state import Cluster, Config
from pvesim.errors import ApiError, TaskFailed, died, param_error

Log = Callable[[str], None]
_CONTROL = properties.words(
    "node vmid archive bwlimit force pool start ha-managed storage unique live-restore import-working-storage"
)
_DEVICE = re.compile(r"(serial|usb|hostpci|rng|virtiofs)\d+")
_DRIVE = re.compile(r"(ide|scsi|virtio|sata|efidisk|tpmstate)\d+")
QEMU_VERSION = {8: "9.2.0", 9: "10.1.2"}


@dataclass
class Request:
    """One create or restore, checked: `settings` are the VM's own, `archive` the backup that it comes from."""

    node: str
    vmid: int
    settings: Config = field(default_factory=dict)
    archive: str | None = None
    force: bool = False
    unique: bool = False
    start: bool = False
    ha_managed: bool = False
    pool: str | None = None
    storage: str | None = None
    live: bool = False

    @property
    def trouble(self) -> str:
        """How every error of it begins."""
        return f"unable to {'restore' if self.archive else 'create'} VM {self.vmid} -"


def prepare(call: Caller, params: dict[str, Any]) -> Request:
    """Everything that is refused before a task begins; ApiError 400, 403, 500."""
    cluster, wanted = call.cluster, settings.taken(params, _CONTROL)
    asked = Request(str(params["node"]), int(params["vmid"]), wanted, params.get("archive"))
    asked.force, asked.unique = bool(params.get("force")), bool(params.get("unique"))
    asked.start, asked.ha_managed = bool(params.get("start")), bool(params.get("ha-managed"))
    asked.pool, asked.storage = params.get("pool"), params.get("storage")
    asked.live = bool(params.get("live-restore"))
    settings.check_ssh_keys(wanted)
    cluster.check_quorum()
    if asked.pool is not None and asked.pool not in cluster.pools:
        raise access.denied(f"pool '{asked.pool}' does not exist")
    if asked.storage is not None:
        call.check(f"/storage/{asked.storage}", "Datastore.AllocateSpace")
    if asked.ha_managed:
        call.check("/", "Sys.Console")
    _check_allocate(call, asked)
    if asked.archive:
        _check_archive(call, asked)
    settings.normalize(wanted)
    extraction = params.get("import-working-storage")
    check_storages(call, asked.vmid, wanted, asked.storage, extraction)
    check_settings(call, asked.vmid, asked.pool, sorted(wanted))
    for key in filter(_DEVICE.fullmatch, sorted(wanted)):
        check_device(call, asked.vmid, asked.pool, key, wanted[key])
    check_bridges(call, wanted)
    settings.check_drives(cluster, wanted)
    settings.complete_nets(cluster, wanted)
    settings.check_lines(wanted)
    return asked


def _check_allocate(call: Caller, asked: Request) -> None:
    if call.allowed(f"/vms/{asked.vmid}", "VM.Allocate"):
        return
    if asked.pool and call.allowed(f"/pool/{asked.pool}", "VM.Allocate"):
        return
    existing = asked.vmid in call.cluster.guests
    if asked.archive and asked.force and existing and call.allowed(f"/vms/{asked.vmid}", "VM.Backup"):
        return
    raise access.denied()


def _check_archive(call: Caller, asked: Request) -> None:
    for key in filter(_DRIVE.fullmatch, sorted(asked.settings)):
        raise param_error(**{key: "option conflicts with option 'archive'"})
    if asked.archive == "-":
        raise ApiError(500, "pipe requires cli environment")
    storage.check_access(call.cluster, call.auth, asked.vmid, asked.archive or "", "backup")


async def reserve(call: Caller, asked: Request) -> None:
    """Take the id: a config that holds nothing but its lock; ApiError 500 where a guest has it."""
    try:
        existing = call.cluster.guests.get(asked.vmid)
        if asked.force and existing and existing.kind == "qemu" and existing.node == asked.node:
            await guestlock.take(call.cluster, asked.node, "qemu", asked.vmid, "create")
        else:
            await guestlock.create(call.cluster, asked.node, "qemu", asked.vmid)
    except ApiError as error:
        raise ApiError(error.status, f"{asked.trouble} {error.message}") from None


async def run(call: Caller, asked: Request, log: Log) -> None:
    """Make the disks and write the config; on an error the reserved id is given back."""
    cluster = call.cluster
    try:
        async with cluster.locks.guest(asked.node, "qemu", asked.vmid, 1):
            await _create(call, asked, log)
    except (ApiError, TaskFailed) as error:
        cluster.guests.pop(asked.vmid, None)
        raise TaskFailed(f"{asked.trouble} {died(error)}") from None


async def _create(call: Caller, asked: Request, log: Log) -> None:
    cluster, config = call.cluster, dict(asked.settings)
    config["meta"] = f"creation-qemu={QEMU_VERSION[cluster.major]},ctime={int(cluster.clock.now())}"
    made = await disks.create(call, asked.node, asked.vmid, config, asked.settings, log, default=asked.storage)
    try:
        config |= made.settings
        _complete(cluster, config)
        settings.check_vga(config)
        if "tags" in config:
            check_tags(call, asked.vmid, "", config["tags"])
        guest = machine.find(cluster, asked.node, asked.vmid)
        cluster.writable(guest)
        guest.config = {key: value or " " for key, value in config.items() if value or key != "description"}
        machine.save(cluster, guest)
    except ApiError:
        for volid in made.volumes:
            await storage.free(cluster, asked.node, volid)
        raise
    if asked.pool:
        cluster.pools[asked.pool].vms.add(asked.vmid)


def _complete(cluster: Cluster, config: Config) -> None:
    if not config.get("boot"):
        config["boot"] = options.default_boot_order(config)
    if not config.get("smbios1"):
        config["smbios1"] = f"uuid={settings.new_uuid()}"
    if config.get("vmgenid", "1") == "1" and config.get("arch") != "aarch64":
        config["vmgenid"] = settings.new_uuid()
    kind = config.get("machine", "pc")
    if options.is_windows(config) and kind in ("pc", "q35"):
        version = ".".join(QEMU_VERSION[cluster.major].split(".")[:2])
        config["machine"] = f"pc-{'q35' if kind == 'q35' else 'i440fx'}-{version}"
