"""Backups: the archive of one guest, and the job that makes archives of many (PVE::VZDump).

An archive is a volume of content `backup`; its `extra` holds what a restore needs:
`config` (the current section, without lock and snapshots), `lxc` (raw lines), `kind`, `firewall` and, for every slot
with a volume that was included, `disks[slot] = {size, format, used, …}` in bytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pvesim.cluster import disks, guestconfig, guestlock, prune, storagepaths
from pvesim.cluster import storage as storages
from pvesim.errors import ApiError, TaskFailed, died

if TYPE_CHECKING:
    from pvesim.cluster.disks import Disk
    from pvesim.cluster.state import Cluster, Guest, Volume
    from pvesim.cluster.tasks import TaskLog

ENDINGS = {"0": "", "1": ".lzo", "lzo": ".lzo", "gzip": ".gz", "zstd": ".zst"}
RATIO = {"": 1.0, ".lzo": 0.6, ".gz": 0.5, ".zst": 0.45}  # archive per byte read
START_SECONDS = 1.0  # what every archive takes, however small
READ_BYTES_PER_SECOND = 200 * 2**20
_FIELDS = {"cluster", "guestname", "node", "vmid"}


@dataclass(frozen=True)
class Job:
    """What one call asks for; `keep` empty: nothing is ever pruned; `may` tells whether the caller may back one up."""

    node: str
    vmids: list[int]
    storage: str = "local"
    mode: str = "snapshot"
    compress: str = "0"
    keep: Mapping[str, int] = field(default_factory=dict)
    remove: bool = True
    notes: str = ""
    protected: bool = False
    protected_limit: int = -1
    lockwait: int = 180  # minutes
    every: bool = False
    skipped: list[int] = field(default_factory=list)
    command: str = "vzdump"
    may: Callable[[int], None] = lambda vmid: None


async def run(cluster: Cluster, job: Job, log: TaskLog) -> None:
    """The worker of the task: one after the other; `job errors` when any has failed."""
    _check_storage(cluster, job)
    async with cluster.locks.file(job.node, "/var/run/vzdump.lock", job.lockwait * 60):
        log(f"INFO: starting new backup job: {job.command}")
        if job.skipped:
            log(f"INFO: skip external VMs: {', '.join(map(str, sorted(job.skipped)))}")
        todo = []
        for vmid in sorted(job.vmids):
            if vmid in cluster.guests:
                try:
                    job.may(vmid)
                except ApiError:
                    if job.every:
                        continue
                    raise
            todo.append(vmid)
        failed = 0
        for vmid in todo:
            began = cluster.clock.now()
            try:
                await _one(cluster, job, vmid, log)
            except (ApiError, TaskFailed) as error:
                failed += 1
                log(f"ERROR: Backup of VM {vmid} failed - {died(error)}")
                log(f"INFO: Failed at {_stamp(cluster)}")
            else:
                lasted = time.strftime("%H:%M:%S", time.gmtime(cluster.clock.now() - began))
                log(f"INFO: Finished Backup of VM {vmid} ({lasted})")
                log(f"INFO: Backup finished at {_stamp(cluster)}")
        log(f"INFO: Backup job finished {'with errors' if failed else 'successfully'}")
        if failed:
            raise TaskFailed("job errors")


def _stamp(cluster: Cluster) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(cluster.clock.now()))


def _check_storage(cluster: Cluster, job: Job) -> None:
    try:
        found = storages.usable(cluster, job.storage, job.node)
    except ApiError as error:
        raise TaskFailed(f"could not activate storage '{job.storage}': {error}") from error
    trouble = ""
    if not storages.type_of(found).files and found.type != "pbs":
        trouble = f"can't use storage type '{found.type}' for backup"
    elif "backup" not in storages.content_of(found):
        trouble = f"can't use storage '{job.storage}' for backups - wrong content type"
    if trouble:
        raise TaskFailed(f"could not get storage information for '{job.storage}': {trouble}")


async def _one(cluster: Cluster, job: Job, vmid: int, log: TaskLog) -> None:
    guest = cluster.guests.get(vmid)
    if guest is None:
        raise TaskFailed(f"unable to find VM '{vmid}'")
    _check_limits(cluster, job, guest)
    log(f"INFO: Starting Backup of VM {vmid} ({guest.kind})")
    log(f"INFO: Backup started at {_stamp(cluster)}")
    log(f"INFO: status = {'running' if guest.running is not None else 'stopped'}")
    guest = await guestlock.take(cluster, job.node, guest.kind, vmid, "backup")
    try:
        mode = job.mode if guest.running is not None else "stop"
        if mode == "snapshot" and guest.kind == "lxc" and not _can_snapshot(cluster, guest):
            log("INFO: mode failure - some volumes do not support snapshots")
            log("INFO: trying 'suspend' mode instead")
            mode = "suspend"
        log(f"INFO: backup mode: {mode}")
        log("INFO: ionice priority: 7")
        await _archive(cluster, job, guest, log)
    finally:
        if guest.config.get("lock") == "backup":
            del guest.config["lock"]


def _can_snapshot(cluster: Cluster, guest: Guest) -> bool:
    return all(storages.feature(cluster, "snapshot", disk.file) for disk, inside, _ in included(guest) if inside)


def _check_limits(cluster: Cluster, job: Job, guest: Guest) -> None:
    own = [
        volume for volume in archives(cluster, job.node, job.storage, guest.vmid) if f"-{guest.kind}-" in volume.volid
    ]
    limit = 0 if job.keep.get("keep-all") else sum(job.keep.values())
    held = sum(volume.protected for volume in own)
    if job.protected:
        if -1 < job.protected_limit <= held:
            raise TaskFailed(
                f"The number of protected backups per guest is limited to {job.protected_limit} "
                f"on storage '{job.storage}'"
            )
    elif limit and not job.remove and len(own) - held >= limit:
        raise TaskFailed(
            f"There is a max backup limit of {limit} enforced by the target storage or the vzdump parameters. "
            "Either increase the limit or delete old backups."
        )


def archives(cluster: Cluster, node: str, storage: str, vmid: int) -> list[Volume]:
    """The backups of one guest on that storage."""
    return [
        volume
        for volume in storages.on_storage(cluster, node, storage)
        if volume.content == "backup" and volume.vmid == vmid
    ]


def included(guest: Guest) -> list[tuple[Disk, bool, str]]:
    """Every volume of the guest, whether a backup holds it, and why (get_backup_volumes)."""
    found = []
    for disk in disks.disks(guest.kind, guest.config):
        if guest.kind == "lxc":
            wanted = disk.options.get("backup") == "1"
            if disk.key == "rootfs":
                found.append((disk, True, "rootfs"))
            elif disk.type != "volume":
                found.append((disk, False, "not a volume"))
            else:
                found.append((disk, wanted, "enabled" if wanted else "disabled"))
        elif disk.is_cdrom:
            continue
        elif disk.options.get("backup", "1") in ("0", "no"):
            found.append((disk, False, "backup=no"))
        elif disk.key == "efidisk0" and guest.config.get("bios") != "ovmf":
            found.append((disk, False, "efidisk but no OMVF BIOS"))
        else:
            found.append((disk, True, "backup=yes"))
    return found


async def _archive(cluster: Cluster, job: Job, guest: Guest, log: TaskLog) -> None:
    now = cluster.clock.now()
    ending = ENDINGS[job.compress]
    stem = f"vzdump-{guest.kind}-{guest.vmid}-{time.strftime('%Y_%m_%d-%H_%M_%S', time.localtime(now))}"
    form = ("tar" if guest.kind == "lxc" else "vma") + ending
    volid = f"{job.storage}:backup/{stem}.{form}"
    held: dict[str, dict[str, Any]] = {}
    read = 0
    for disk, inside, reason in included(guest):
        if inside:
            volume = storages.get(cluster, job.node, disk.file)
            held[disk.key] = {"size": volume.size, "format": volume.format, "used": volume.used} | volume.extra
            held[disk.key] |= await cluster.backend.archive(guest, volume)
            read += max(volume.used, 2**20)
        if guest.kind == "lxc":
            where = disk.options.get("mp", "/")
            words = "including" if inside else "excluding"
            log(f"INFO: {words} {disk.type} mount point {disk.key} ('{where}') {'in' if inside else 'from'} backup")
        elif not inside:
            log(f"INFO: exclude disk '{disk.key}' '{disk.file}' ('{reason}')")
    target = f"{storagepaths.directory(cluster.storages[job.storage], 'backup')}/{stem}.{form}"
    log(f"INFO: creating vzdump archive '{target}'")
    await cluster.clock.sleep(START_SECONDS + read / READ_BYTES_PER_SECOND)
    from pvesim.cluster.state import Volume

    size = int(read * RATIO[ending])
    key = storages.key(cluster, job.node, volid)
    archive = Volume(volid, key[0], size, form, "backup", guest.vmid, int(now), size)
    archive.extra = {"kind": guest.kind, "config": _config(guest), "disks": held, "firewall": dict(guest.firewall)}
    archive.extra["lxc"] = [list(line) for line in guest.raw_lxc]
    cluster.volumes[key] = archive
    log(f"INFO: archive file size: {_readable(size)}")
    if job.notes:
        log("INFO: adding notes to backup")
        try:
            archive.notes = notes(cluster, guest, job.notes)
        except ValueError as error:
            log(f"WARN: unable to add notes - {error}")
    if job.protected:
        log("INFO: marking backup as protected")
        archive.protected = True
    if job.remove and job.keep and not job.keep.get("keep-all"):
        await _prune(cluster, job, guest, log)


def _config(guest: Guest) -> dict[str, str]:
    return {key: value for key, value in guest.config.items() if key not in ("lock", "parent")}


def _readable(size: int) -> str:
    unit = next((unit for unit in "GMK" if size >= {"G": 2**30, "M": 2**20, "K": 2**10}[unit]), "")
    return f"{size}" if not unit else f"{size / {'G': 2**30, 'M': 2**20, 'K': 2**10}[unit]:.0f}{unit}B"


def notes(cluster: Cluster, guest: Guest, template: str) -> str:
    r"""Fill in `{{cluster}}`, `{{guestname}}`, `{{node}}`, `{{vmid}}`; `\n` is a line end; ValueError for others."""
    values = {
        "cluster": cluster.name or "standalone node",
        "guestname": guest.config.get("hostname" if guest.kind == "lxc" else "name")
        or f"{guestlock.WORD[guest.kind]}{guest.vmid}",
        "node": guest.node,
        "vmid": str(guest.vmid),
    }
    text = template.replace("\\n", "\n").replace("\\\\", "\\")
    if unknown := [name for name in re.findall(r"\{\{([^\s{}]+)\}\}", text) if name not in _FIELDS]:
        raise ValueError(f"unexpected variable '{unknown[0]}'")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)


async def _prune(cluster: Cluster, job: Job, guest: Guest, log: TaskLog) -> None:
    rules = ", ".join(f"{name}={count}" for name, count in sorted(job.keep.items()))
    log(f"INFO: prune older backups with retention: {rules}")
    entries = [
        prune.Backup(volume.volid, guest.kind, volume.ctime, "protected" if volume.protected else None)
        for volume in archives(cluster, job.node, job.storage, guest.vmid)
        if f"-{guest.kind}-" in volume.volid
    ]
    marks = prune.marks(entries, job.keep)
    for volid in sorted(volid for volid, mark in marks.items() if mark == "remove"):
        log(f"INFO: removing backup '{volid}'")
        await storages.free(cluster, job.node, volid)
    count = sum(mark == "remove" for mark in marks.values())
    log(f"INFO: pruned {count} backup(s){' not covered by keep-retention policy' if count else ''}")


def config_text(archive: Volume) -> str:
    """The config file inside an archive, as extractconfig shows it; ApiError 500 when there is none."""
    from pvesim.cluster.state import Guest

    if "config" not in archive.extra:
        raise ApiError(500, "ERROR: archive contains no configuration file")
    kind = archive.extra.get("kind", "lxc")
    guest = Guest(archive.vmid or 0, kind, archive.node, dict(archive.extra["config"]))
    guest.raw_lxc = [list(line) for line in archive.extra.get("lxc", ())]
    text = guestconfig.text(guest)
    if kind == "qemu":
        for slot, held in archive.extra.get("disks", {}).items():
            where = str(archive.extra["config"].get(slot, "")).partition(":")[0]
            text += f"#qmdump#map:{slot}:drive-{slot}:{where}:{held['format']}:\n"
    return text


def leave_out(cluster: Cluster, vmid: int) -> None:
    """Take a guest out of all jobs; a job that named only this one goes too (remove_vmid_from_backup_jobs)."""
    for name, job in list(cluster.jobs.items()):
        key = "vmid" if job.get("vmid") else "exclude"
        if key not in job:
            continue
        rest = ",".join(part for part in re.findall(r"\d+", str(job[key])) if part != str(vmid))
        if rest:
            job[key] = rest
        elif key == "vmid":
            del cluster.jobs[name]
        else:
            del job[key]
