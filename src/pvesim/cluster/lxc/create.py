"""Making a container from a template or a backup: the checks, then the task (PVE::API2::LXC, create_vm)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from pvesim.backends.record import Login
from pvesim.cluster import guestlock, storage, storagepaths
from pvesim.cluster.access import denied
from pvesim.cluster.lxc import disks, options, power, properties, restore, rights, systems, update
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Cluster, Config, Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import ApiError, TaskFailed, died, param_error

UNPACK_SECONDS = 2.0
DEFAULT_STORAGE = "local"
_NOT_SETTINGS = frozenset(
    {
        *("node", "vmid", "ostemplate", "storage", "pool", "password", "ssh-public-keys", "unprivileged", "start"),
        *("restore", "force", "unique", "bwlimit", "ignore-unpack-errors", "ha-managed"),
    }
)
_KEY_TYPES = re.compile(
    r"(?:^|\s)(ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]+)\s+([A-Za-z0-9+/]+={0,2})(?:\s|$)"
)


@dataclass(frozen=True)
class Request:
    """What is wanted. `settings` without and `mounts` with the volumes; `unprivileged` None: as the backup says."""

    node: str
    vmid: int
    template: str
    storage: str
    pool: str | None
    restore: bool
    force: bool
    unique: bool
    unprivileged: bool | None
    settings: Config
    mounts: Config = field(default_factory=dict)
    login: Login = field(default_factory=Login)

    @property
    def refusal(self) -> str:
        """How every error of the task begins."""
        return f"unable to {'restore' if self.restore else 'create'} CT {self.vmid} -"


def check(call: Caller, node: str, params: dict[str, Any]) -> Request:
    """All checks that come before the id is taken, in Proxmox's order; ApiError where one fails."""
    cluster = call.cluster
    cluster.check_quorum()
    vmid, pool = int(params["vmid"]), params.get("pool")
    restoring, force = bool(params.get("restore")), bool(params.get("force"))
    unprivileged: bool | None = params.get("unprivileged")
    if not restoring and cluster.major >= 9:
        unprivileged = unprivileged is None or unprivileged
        if not unprivileged:
            call.check("/", "Sys.Modify")
    existing = _local(cluster, node, vmid)
    if existing and restoring and force:
        if existing.running is not None:
            raise ApiError(500, "can't overwrite running container")
        update.check_protection(existing, f"unable to restore CT {vmid}")
    else:
        guestlock.check_unused(cluster, vmid)
    if params.get("ssh-public-keys") is not None:
        check_ssh_keys(str(params["ssh-public-keys"]))
    if pool is not None and pool not in cluster.pools:
        raise denied(f"pool '{pool}' does not exist")
    _check_allocate(call, vmid, pool, existing if restoring and force else None, unprivileged)
    given = {key: options.text(value) for key, value in params.items() if key not in _NOT_SETTINGS}
    if params.get("cpuunits") is not None:
        given["cpuunits"] = str(options.clamp_cpuunits(params["cpuunits"]))
    rights.check_settings(call, vmid, pool, {}, given, unprivileged=bool(unprivileged))
    template, default = str(params["ostemplate"]), str(params.get("storage") or DEFAULT_STORAGE)
    if template == "-":
        raise ApiError(500, "pipe requires cli environment")
    storage.check_access(cluster, call.auth, vmid, template, "backup" if restoring else "vztmpl")
    mounts = {key: _with_storage(value, default) for key, value in given.items() if properties.MOUNT.match(key)}
    _check_mounts(call, node, default, mounts)
    settings = {key: value for key, value in given.items() if key not in mounts and not key.startswith("unused")}
    return Request(
        node,
        vmid,
        template,
        default,
        pool,
        restoring,
        force,
        bool(params.get("unique")),
        unprivileged,
        settings,
        mounts,
        Login(params.get("password"), str(params.get("ssh-public-keys") or "")),
    )


async def reserve(call: Caller, request: Request) -> Config:
    """The settings as they will be stored, with the id taken for them: a config that is locked and otherwise empty."""
    cluster, vmid = call.cluster, request.vmid
    draft = Guest(vmid, "lxc", request.node)
    await update.update(cluster, draft, update.Change(request.settings))
    config = draft.config | ({"unprivileged": "1"} if request.unprivileged else {})
    try:
        if request.restore and request.force and vmid in cluster.guests:
            await guestlock.take(cluster, request.node, "lxc", vmid, "create")
        else:
            await guestlock.create(cluster, request.node, "lxc", vmid)
    except ApiError as error:
        raise ApiError(500, f"{request.refusal} {error}") from error
    return config


async def work(call: Caller, request: Request, config: Config, log: TaskLog) -> None:
    """The task, but for the start that may follow it; on an error nothing is left of a new container."""
    cluster = call.cluster
    async with cluster.locks.guest(request.node, "lxc", request.vmid):
        guest = cluster.guest(request.node, "lxc", request.vmid)
        undo = _Undo(guest, existed=len(guest.config) > 1)
        try:
            await _make(call, request, guest, config, undo, log)
        except (ApiError, TaskFailed) as error:
            text = died(error)
            log(text)
            await disks.remove_all(cluster, request.node, undo.volumes, log)
            if undo.existed:
                guest.config.pop("lock", None)
            else:
                cluster.guests.pop(request.vmid, None)
            raise TaskFailed(f"{request.refusal} {text}") from error
        if request.pool and request.pool in cluster.pools:
            cluster.pools[request.pool].vms.add(request.vmid)


@dataclass
class _Undo:
    """What a failure leaves: `existed` False takes the container away."""

    guest: Guest
    existed: bool
    volumes: list[str] = field(default_factory=list)


async def _make(call: Caller, request: Request, guest: Guest, config: Config, undo: _Undo, log: TaskLog) -> None:
    cluster, mounts = call.cluster, dict(request.mounts)
    backup = restore.Backup({}, {}, [])
    if request.restore:
        if power.running(cluster, request.node, request.vmid):
            raise TaskFailed("can't overwrite running container")
        log(f"recovering backed-up configuration from '{request.template}'")
        backup = restore.recover(cluster, request.node, request.template)
        restore.check(call, backup, config, request.unprivileged, guest)
    if not mounts:
        mounts = {"rootfs": f"{request.storage}:{disks.DEFAULT_ROOT_GIB}"}
        if request.restore:
            mounts = restore.mounts(call, backup, request.storage, config)
    old, undo.existed = dict(guest.config), False
    made, undo.volumes = await disks.make_all(cluster, request.node, request.vmid, mounts, log)
    config |= made
    if len(old) > 1:
        await disks.remove_of(cluster, guest, old, log)
        guest.config, guest.pending, guest.pending_delete, guest.snapshots = {"lock": "create"}, {}, {}, {}
    await _unpack(cluster, request, config, log)
    archive = storage.get(cluster, request.node, request.template)
    await cluster.backend.unpack(guest, config, archive, request.login, log)
    was_template = False
    if request.restore:
        log("merging backed-up and given configuration..")
        was_template = restore.merge(call, backup, config, guest, unique=request.unique, log=log)
    config.setdefault("hostname", f"CT{request.vmid}")
    config.setdefault("memory", str(options.DEFAULT_MEMORY))
    config.setdefault("swap", str(options.DEFAULT_MEMORY))
    cluster.writable(guest)
    guest.config = config
    if was_template:
        await disks.make_template(cluster, guest)
        guest.config["template"] = "1"


async def _unpack(cluster: Cluster, request: Request, config: Config, log: TaskLog) -> None:
    archive = storage.get(cluster, request.node, request.template)
    where = storagepaths.image_path(
        storage.lookup(cluster, storage.storage_of(request.template)), storage.parse(cluster, request.template)
    )
    await cluster.clock.sleep(UNPACK_SECONDS)
    if request.restore:
        log(f"restoring '{request.template}' now..")
    log(f"extracting archive '{where}'")
    log(f"Total bytes read: {archive.size} ({archive.size // 2**20}MiB, 300MiB/s)")
    system = systems.inside(archive.extra.get("system") or request.template)
    if request.restore:
        return
    if config.get("ostype", system.ostype) not in (system.ostype, "unmanaged"):
        raise TaskFailed(f"got unexpected ostype ({system.ostype} != {config['ostype']})")
    config.setdefault("ostype", system.ostype)
    if "arch" not in config:
        config["arch"] = system.arch
        log(f"Detected container architecture: {system.arch}")
    if config["ostype"] != "unmanaged" and systems.wants_nesting(system.systemd, config):
        log.warn(f"Systemd {system.systemd} detected. You may need to enable nesting.")


def check_ssh_keys(text: str) -> None:
    """ApiError 500 unless every line is a key that ssh-keygen can read (PVE::Tools, validate_ssh_public_keys)."""
    for line in filter(str.strip, text.split("\n")):
        found = _KEY_TYPES.search(line)
        try:
            blob = base64.b64decode(found[2], validate=True) if found else b""
        except binascii.Error:
            blob = b""
        kind = found[1].encode() if found else b""
        if not blob.startswith(len(kind).to_bytes(4) + kind) or len(blob) <= len(kind) + 8:
            raise ApiError(500, "SSH public key validation error")


def _local(cluster: Cluster, node: str, vmid: int) -> Guest | None:
    guest = cluster.guests.get(vmid)
    return guest if guest and guest.kind == "lxc" and guest.node == node else None


def _check_allocate(
    call: Caller, vmid: int, pool: str | None, replaced: Guest | None, unprivileged: bool | None
) -> None:
    if call.allowed(f"/vms/{vmid}", "VM.Allocate"):
        return
    if pool and call.allowed(f"/pool/{pool}", "VM.Allocate"):
        return
    if replaced is None or not call.allowed(f"/vms/{vmid}", "VM.Backup"):
        raise denied()
    if replaced.config.get("unprivileged") == "1" and unprivileged is False:
        call.check("/", "Sys.Modify")


def _with_storage(value: str, default: str) -> str:
    return f"{default}:{value}" if re.fullmatch(r"\d+(\.\d+)?", value) else value


def _check_mounts(call: Caller, node: str, default: str, mounts: Config) -> None:
    if mounts and "rootfs" not in mounts:
        raise ApiError(500, "mount points configured, but 'rootfs' not set - aborting")
    for _, parts in properties.mounts(mounts):
        if properties.mount_type(parts["volume"]) == "volume":
            _check_storage(call, node, storage.storage_of(parts["volume"]))
        elif not call.auth.is_root:
            raise ApiError(500, "Only root can pass arbitrary filesystem paths.")
    if not mounts:
        _check_storage(call, node, default)


def _check_storage(call: Caller, node: str, name: str) -> None:
    found = storage.usable(call.cluster, name, node)
    if "rootdir" not in storage.content_of(found):
        raise param_error(storage=f"storage '{name}' does not support container directories")
    call.check(f"/storage/{name}", "Datastore.AllocateSpace")
