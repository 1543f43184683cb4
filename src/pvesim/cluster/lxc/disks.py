"""A container's volumes: made, removed, grown, turned into base images (PVE::LXC: create_disks, template_create)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pvesim.cluster import disks as volumes
from pvesim.cluster import storage
from pvesim.cluster.lxc import properties
from pvesim.cluster.lxc.properties import Properties
from pvesim.cluster.state import Cluster, Config, Guest
from pvesim.errors import ApiError, TaskFailed
from pvesim.schema.formats import parse_size

Log = Callable[[str], None]
BLOCK = 4096
DEFAULT_ROOT_GIB = 4
RESIZE_SECONDS = 0.3


async def make(cluster: Cluster, node: str, vmid: int, parts: Properties, log: Log | None = None) -> Properties:
    """Make the volume that `STORAGE:GIB` asks for; the parts with its id and size."""
    wanted = properties.NEW_VOLUME.match(parts["volume"])
    if wanted is None:
        return parts
    size = int(float(wanted[2]) * 1024) * 2**20
    volid = await volumes.alloc_mountpoint(cluster, wanted[1], node, vmid, size, log)
    if log and storage.get(cluster, node, volid).format == "raw":
        for line in _mkfs(size):
            log(line)
    return parts | {"volume": volid, "size": str(size)}


async def make_all(
    cluster: Cluster, node: str, vmid: int, wanted: Mapping[str, str], log: Log
) -> tuple[Config, list[str]]:
    """Settings with every new volume made, and the ids of those; on an error none is left (create_disks)."""
    made: list[str] = []
    config: Config = {}
    try:
        for key, parts in properties.mounts(wanted):
            done = await make(cluster, node, vmid, parts, log)
            if done is not parts:
                made.append(done["volume"])
            config[key] = properties.render(key, done)
    except (ApiError, TaskFailed):
        await remove_all(cluster, node, made, log)
        raise
    return config, made


async def remove(cluster: Cluster, node: str, vmid: int, volume: str, log: Log | None = None) -> None:
    """Remove a volume that is the container's own (delete_mountpoint_volume)."""
    if properties.mount_type(volume) != "volume":
        return
    if storage.parse(cluster, volume).vmid == vmid:
        await storage.free(cluster, node, volume)
    elif log:
        log(f"ignore deletion of '{volume}', CT {vmid} isn't the owner!")


async def remove_all(cluster: Cluster, node: str, volids: Iterable[str], log: Log) -> None:
    """Remove volumes, going on after a failure (destroy_disks)."""
    for volid in volids:
        try:
            await storage.free(cluster, node, volid)
        except (ApiError, TaskFailed) as error:
            log(str(error))


async def remove_of(cluster: Cluster, guest: Guest, config: Mapping[str, str], log: Log) -> None:
    """Remove all volumes that the settings refer to, unused ones too (destroy_lxc_container)."""
    found = [volume for _, volume in properties.volumes(dict(config))]
    found += [config[key] for key in sorted(config) if key.startswith("unused")]
    for volume in dict.fromkeys(found):
        await remove(cluster, guest.node, guest.vmid, volume, log)


async def remove_unreferenced(cluster: Cluster, guest: Guest, log: Log) -> None:
    """Remove what else bears the container's number on any storage (vdisk_list, vdisk_free)."""
    left = [volume.volid for volume in storage.owned(cluster, guest.node, guest.vmid)]
    await remove_all(cluster, guest.node, left, log)


def new_size(cluster: Cluster, guest: Guest, key: str, text: str) -> tuple[Properties, int]:
    """The mount point `key` and the bytes that `+1G` or `8G` asks of it; ApiError 500 where it cannot have them."""
    parts = properties.parse(key, guest.config.get(key, ""))
    owner = storage.parse(cluster, parts["volume"]).vmid
    if owner != guest.vmid:
        raise ApiError(500, f"can't resize mount point owned by another container ({owner})")
    size = storage.get(cluster, guest.node, parts["volume"]).size
    wanted = (parse_size(text.removeprefix("+")) or 0) + (size if text.startswith("+") else 0)
    if wanted < size:
        raise ApiError(500, "unable to shrink disk size")
    if wanted == size:
        raise ApiError(500, "disk is already at specified size")
    return parts, wanted


async def grow(cluster: Cluster, guest: Guest, key: str, parts: Properties, size: int, log: Log) -> None:
    """Resize the volume and note its size."""
    await cluster.clock.sleep(RESIZE_SECONDS)
    storage.resize(cluster, guest.node, parts["volume"], size)
    log("Image resized.")
    guest.config[key] = properties.render(key, parts | {"size": str(size)})


def check_template(cluster: Cluster, guest: Guest) -> None:
    """ApiError 500 unless every volume can become a base image (template_create)."""
    for _, parts in properties.mounts(guest.config):
        if not storage.feature(cluster, "template", parts["volume"]):
            raise ApiError(500, f"Template feature is not available for '{parts['volume']}'")


async def make_template(cluster: Cluster, guest: Guest) -> None:
    """Turn every volume into a base image; the caller marks the config."""
    check_template(cluster, guest)
    for key, parts in list(properties.mounts(guest.config)):
        base = await storage.make_base(cluster, guest.node, parts["volume"])
        guest.config[key] = properties.render(key, parts | {"volume": base})


def _mkfs(size: int) -> list[str]:
    """What mkfs.ext4 tells of a file system of so many bytes, as far as Proxmox passes it on."""
    blocks = size // BLOCK
    copies = sorted(32768 * factor for factor in (1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243) if 32768 * factor < blocks)
    lines = [f"Creating filesystem with {blocks} 4k blocks and {blocks // 4} inodes", "Filesystem UUID: " + _uuid(size)]
    return [*lines, "Superblock backups stored on blocks: ", "\t" + ", ".join(map(str, copies))] if copies else lines


def _uuid(seed: int) -> str:
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(seed)))
