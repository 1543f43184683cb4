"""The writing calls of the Proxmox API that steps are made of."""

import re
from collections.abc import Iterable, Mapping

from innkeeper.model.images import Image
from innkeeper.model.objects import Guest, GuestKind
from innkeeper.model.observed import Marker, ObservedGuest
from innkeeper.model.plan import Operation
from innkeeper.settings.create import resize_params
from innkeeper.settings.marker import write_marker

SHUTDOWN_SECONDS = 60
"""How long a guest may take to shut down by itself before it is stopped."""
REBOOT_SECONDS = 120
PROVIDE = "image"
"""The phase in which a node is given what a guest is made from."""

_ALLOCATES = re.compile(r"^[^:,]+:(cloudinit|\d+(\.\d+)?)(,|$)|import-from=")
_DISK = re.compile(r"^(ide|sata|scsi|virtio|efidisk|tpmstate)\d+$")
_CLOUD_INIT = re.compile(r"^(ci[a-z]+|sshkeys|ipconfig\d+|nameserver|searchdomain)$")


def base(kind: GuestKind | str, node: str) -> str:
    return f"/nodes/{node}/{'lxc' if kind == 'Container' else 'qemu'}"


def of(seen: ObservedGuest) -> str:
    return f"{base(seen.kind, seen.node)}/{seen.vmid}"


def create(guest: Guest, node: str, params: tuple[tuple[str, str], ...]) -> Operation:
    return Operation("create", "POST", base(guest.ref.kind, node), params)


def provide(image: Image, node: str) -> Operation:
    """Give a node an image: it downloads the file itself, or gets one that was built. What is there is written over.

    Source: PVE::API2::Storage::Status, methods download_url and upload.
    """
    path = f"/nodes/{node}/storage/{image.storage}"
    params = (("content", image.content), ("filename", image.file))
    if image.build is not None:
        return Operation(PROVIDE, "POST", f"{path}/upload", params, build=image.build)
    algorithm, _, digits = image.checksum.partition(":")
    given = (("checksum", digits), ("checksum-algorithm", algorithm), ("url", image.url))
    return Operation(PROVIDE, "POST", f"{path}/download-url", (*params, *given))


def clone(template: ObservedGuest, params: tuple[tuple[str, str], ...]) -> Operation:
    return Operation("clone", "POST", f"{of(template)}/clone", params)


def configure(seen: ObservedGuest, params: tuple[tuple[str, str], ...]) -> Operation:
    """One guarded write. QEMU allocates disks in a task (`POST`), so that no proxy's 30 s cut the answer off.

    Source: PVE::API2::Qemu, methods update_vm_async and update_vm.
    """
    slow = seen.kind == "VirtualMachine" and any(_DISK.match(key) and _ALLOCATES.search(value) for key, value in params)
    return Operation("configure", "POST" if slow else "PUT", f"{of(seen)}/config", params, guarded=True)


def remember(seen: ObservedGuest, marker: Marker) -> Operation:
    """Note on the guest what was done inside it."""
    notes = write_marker(seen.description, marker)
    return Operation("remember", "PUT", f"{of(seen)}/config", (("description", notes),), guarded=True)


def finish(kind: GuestKind | str, node: str, vmid: int) -> Operation:
    """What a clone or an imported disk still needs: only the new guest itself tells."""
    return Operation("configure", "PUT", f"{base(kind, node)}/{vmid}/config", guarded=True, derived=True)


def resize(path: str, sizes: Iterable[tuple[str, int]]) -> tuple[Operation, ...]:
    return tuple(
        Operation("resize", "PUT", f"{path}/resize", resize_params(slot, size), guarded=True) for slot, size in sizes
    )


def move_pool(vmid: int, before: str | None, after: str | None) -> Operation:
    """Put a guest into a pool (out of the one that it is in), or out of every pool.

    Source: PVE::API2::Pool, method update_pool; `allow-move` since 8.1.
    """
    if after is not None:
        return Operation("pool", "PUT", "/pools", (("poolid", after), ("vms", str(vmid)), ("allow-move", "1")))
    return Operation("pool", "PUT", "/pools", (("poolid", before or ""), ("vms", str(vmid)), ("delete", "1")))


def regenerate(seen: ObservedGuest, written: Mapping[str, str], deleted: Iterable[str]) -> tuple[Operation, ...]:
    """A running machine's cloud-init drive is written anew only on demand; a stopped one's at its start."""
    touched = any(_CLOUD_INIT.match(key) for key in [*written, *deleted])
    drive = any("cloudinit" in value for key, value in (seen.config or {}).items() if _DISK.match(key))
    if seen.kind == "VirtualMachine" and seen.power == "running" and touched and drive:
        return (Operation("cloud-init", "PUT", f"{of(seen)}/cloudinit"),)
    return ()


def shutdown(seen: ObservedGuest) -> Operation:
    params = (("timeout", str(SHUTDOWN_SECONDS)), ("forceStop", "1"))
    return Operation("shutdown", "POST", f"{of(seen)}/status/shutdown", params)


def start(path: str) -> Operation:
    return Operation("start", "POST", f"{path}/status/start")


def resume(seen: ObservedGuest) -> Operation:
    return Operation("resume", "POST", f"{of(seen)}/status/resume")


def reboot(seen: ObservedGuest) -> Operation:
    return Operation("reboot", "POST", f"{of(seen)}/status/reboot", (("timeout", str(REBOOT_SECONDS)),))


def delete(seen: ObservedGuest) -> tuple[Operation, ...]:
    """Away with a guest, its volumes, and what jobs, pools and access lists say about it (`purge`).

    A running machine must be stopped first; a container's delete does it (`force`).
    Source: PVE::API2::Qemu and PVE::API2::LXC, methods destroy_vm.
    """
    purge = (("purge", "1"),)
    if seen.kind == "Container":
        params = (*purge, ("force", "1")) if seen.power != "stopped" else purge
        return (Operation("delete", "DELETE", of(seen), params),)
    gone = Operation("delete", "DELETE", of(seen), purge)
    if seen.power == "stopped":
        return (gone,)
    return Operation("stop", "POST", f"{of(seen)}/status/stop"), gone
