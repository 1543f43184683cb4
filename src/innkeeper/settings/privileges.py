"""Which rights a set of manifests needs, which of them are missing, which go beyond. Pure.

Sources: PVE::LXC, check_ct_modify_config_perm; PVE::API2::Qemu, check_*_perm; PVE::RPCEnvironment, check_vm_perm (a
right on the guest's pool does as well as one on the guest).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import Cluster, Guest
from innkeeper.model.observed import ObservedGuest
from innkeeper.settings.desired import Desired, compile_guest
from innkeeper.settings.grants import Permissions, allowed, grant
from innkeeper.settings.table import find
from innkeeper.settings.volumes import storage_of


@dataclass(frozen=True, slots=True)
class Need:
    """A privilege on any one of these paths; an empty `privilege` is what only root@pam with its password may do.

    `instead`: another one, on `/`, that does as well.
    """

    paths: tuple[str, ...]
    privilege: str
    why: str
    instead: str = ""

    def met(self, permissions: Permissions) -> bool:
        if self.instead and self.instead in allowed(permissions, "/"):
            return True
        return any(self.privilege in allowed(permissions, path) for path in self.paths)


@dataclass(frozen=True, slots=True)
class Missing:
    """What lacks on one path, and the line that grants it (empty: no token ever may)."""

    path: str
    privileges: tuple[str, ...]
    why: tuple[str, ...]
    line: str


def needs(
    cluster: Cluster, guests: Iterable[Guest], version: tuple[int, int], seen: Iterable[ObservedGuest] = ()
) -> tuple[Need, ...]:
    """All that observing the cluster and creating, changing, deleting these guests on it takes.

    `seen` holds the templates that are cloned.
    """
    seen = tuple(seen)
    found = [
        Need(("/vms",), "VM.Audit", "to see every guest"),
        Need(("/",), "Sys.Audit", "to see the nodes and the quorum"),
    ]
    for guest in guests:
        desired, _ = compile_guest(guest, cluster.spec.defaults, version)
        found += making(guest, desired)
        found += (*copying(guest, seen), *providing(guest))
    return tuple(dict.fromkeys(found))


def making(guest: Guest, desired: Desired, vmid: int | None = None) -> Iterator[Need]:
    """What creating this guest, changing it in any way and deleting it takes; `vmid` where it is chosen already."""
    spec, name, vmid = guest.spec, str(guest.ref), guest.spec.vmid or vmid
    paths: tuple[str, ...] = (f"/vms/{vmid}" if vmid else "/vms",)
    if desired.pool:
        paths = (f"/pool/{desired.pool}", *paths)
        for privilege in ("Pool.Allocate", "Pool.Audit"):
            yield Need(paths[:1], privilege, f"{name}: pool")
    yield Need(paths, "VM.Allocate", f"{name}: to create and delete it")
    yield Need(paths, "VM.Config.Options", f"{name}: notes and tags, where the marker is")
    if desired.running is not None:
        yield Need(paths, "VM.PowerMgmt", f"{name}: running")
    yield from _setting_needs(guest, paths, [*desired.scalars, *desired.parts])
    yield from _volume_needs(name, paths, desired)
    yield from _network_needs(name, desired)
    if isinstance(spec, ContainerSpec):
        yield from _container_needs(name, spec, desired)
    else:
        yield from _machine_needs(name, spec, desired)


def changing(guest: Guest, vmid: int, pool: str | None, settings: Iterable[str], *, power: bool) -> Iterator[Need]:
    """What writing these settings of an existing guest takes; `power`: it is started, stopped or restarted as well."""
    name = str(guest.ref)
    paths = (*((f"/pool/{pool}",) if pool else ()), f"/vms/{vmid}")[::-1]
    yield Need(paths, "VM.Config.Options", f"{name}: notes and tags, where the marker is")
    yield from _setting_needs(guest, paths, settings)
    if power:
        yield Need(paths, "VM.PowerMgmt", f"{name}: running")


def _setting_needs(guest: Guest, paths: tuple[str, ...], settings: Iterable[str]) -> Iterator[Need]:
    for setting in settings:
        known = find("Container" if isinstance(guest.spec, ContainerSpec) else "VirtualMachine", setting)
        if known is not None and known.privilege:
            yield Need(paths, known.privilege, f"{guest.ref}: {setting}")
        if known is not None and "root" in known.marks:
            yield Need(paths, "", f"{guest.ref}: {setting}")


def _volume_needs(name: str, paths: tuple[str, ...], desired: Desired) -> Iterator[Need]:
    for volume in desired.volumes:
        if volume.source and volume.source.startswith("/"):
            yield Need(paths, "", f"{name}: a mount of the node's {volume.source}")
            continue
        for privilege in ("VM.Config.Cloudinit", "VM.Config.CDROM") if volume.cloud_init else ("VM.Config.Disk",):
            yield Need(paths, privilege, f"{name}: its volumes")
        if storage := volume.storage or desired.storage:
            for privilege in ("Datastore.AllocateSpace", "Datastore.Audit"):
                yield Need((f"/storage/{storage}",), privilege, f"{name}: its volumes on {storage}")
        if volume.import_from and ":" in volume.import_from:
            storage = volume.import_from.partition(":")[0]
            yield Need((f"/storage/{storage}",), "Datastore.Audit", f"{name}: {volume.import_from}")


def _network_needs(name: str, desired: Desired) -> Iterator[Need]:
    for setting, parts in desired.parts.items():
        bridge = parts.get("bridge") or desired.fallbacks.get(setting, {}).get("bridge")
        if setting.startswith("net") and bridge:
            path = f"/sdn/zones/localnetwork/{bridge}" + (f"/{parts['tag']}" if parts.get("tag") else "")
            yield Need((path,), "SDN.Use", f"{name}: {setting} on {bridge}")


def _container_needs(name: str, spec: ContainerSpec, desired: Desired) -> Iterator[Need]:
    if desired.template and ":" in desired.template:
        path = f"/storage/{desired.template.partition(':')[0]}"
        yield Need((path,), "Datastore.Audit", f"{name}: its template")
    if spec.unprivileged is False:
        yield Need(("/",), "Sys.Modify", f"{name}: unprivileged: false")
    for feature in sorted(set(desired.parts.get("features", {})) - {"nesting"}):
        yield Need(("/",), "", f"{name}: features.{feature}")


def _machine_needs(name: str, spec: VirtualMachineSpec, desired: Desired) -> Iterator[Need]:
    if "startup" in {*desired.scalars, *desired.parts}:
        yield Need(("/",), "Sys.Modify", f"{name}: startup")
    if spec.clone is not None:
        yield Need(("/vms",), "VM.Clone", f"{name}: clone")


def copying(guest: Guest, seen: Iterable[ObservedGuest]) -> Iterator[Need]:
    """What a clone's disks take, where the clone call puts them: on `clone.storage`, else where its template's are.

    Source: PVE::API2::Qemu, method clone_vm (check_storage_access_clone).
    """
    if not isinstance(guest.spec, VirtualMachineSpec) or guest.spec.clone is None:
        return
    wanted = guest.spec.clone
    storages = {wanted.storage} if wanted.storage else set[str | None]()
    for template in () if wanted.storage else seen:
        if (
            template.template
            and template.kind == "VirtualMachine"
            and wanted.template in (template.vmid, template.name)
        ):
            disks = (text for name, text in (template.config or {}).items() if _is_disk(name))
            storages |= {storage_of(text.partition(",")[0]) for text in disks if "media=cdrom" not in text.split(",")}
    for storage in sorted(filter(None, storages)):
        for privilege in ("Datastore.AllocateSpace", "Datastore.Audit"):
            yield Need((f"/storage/{storage}",), privilege, f"{guest.ref}: its disks on {storage}")


def providing(guest: Guest, node: str = "") -> Iterator[Need]:
    """What giving a node (any, where none is named) the images of a guest takes.

    Source: PVE::API2::Storage::Status, methods upload and download_url; Sys.Modify on `/` goes with Sys.Audit, which
    everything here needs.
    """
    for image in guest.images:
        if image.provided:
            why = f"{guest.ref}: image {image.name}"
            yield Need((f"/storage/{image.storage}",), "Datastore.AllocateTemplate", why)
            if image.url:
                yield Need((f"/nodes/{node}" if node else "/nodes",), "Sys.AccessNetwork", why, "Sys.Modify")


def _is_disk(name: str) -> bool:
    setting = find("VirtualMachine", name)
    return setting is not None and "volume" in setting.marks


def missing(wanted: Iterable[Need], permissions: Permissions, user: str) -> tuple[Missing, ...]:
    """What lacks, by path: the deepest path that has rights of its own, else the branch (`/vms`, `/storage/nas`)."""
    if user == "root@pam":
        return ()
    lacks: dict[str, dict[str, list[str]]] = {}
    for need in wanted:
        if not need.privilege or not need.met(permissions):
            path = need.paths[0] if need.paths[0] in permissions else _branch(need.paths[0])
            lacks.setdefault(path if need.privilege else "", {}).setdefault(need.privilege, []).append(need.why)
    return tuple(
        Missing(
            path,
            tuple(sorted(filter(None, names))),
            tuple(dict.fromkeys(why for reasons in names.values() for why in reasons)),
            grant(path, names, user) if path else "",
        )
        for path, names in sorted(lacks.items())
    )


def _branch(path: str) -> str:
    """Where to grant: every guest at once, but each storage, pool and bridge by itself."""
    return "/vms" if path.startswith("/vms") else path


def excess(wanted: Iterable[Need], permissions: Permissions) -> Mapping[str, tuple[str, ...]]:
    """Privileges that nothing here uses, by the highest path that gives them."""
    used = {need.privilege for need in wanted}
    beyond: dict[str, tuple[str, ...]] = {}
    said: set[str] = set()
    for path in sorted(permissions, key=lambda path: (path.count("/") if path != "/" else 0, path)):
        names = tuple(sorted(permissions[path] - used - said))
        if names:
            beyond[path] = names
            said.update(names)
    return beyond
