"""A virtual machine as a whole: finding it, its locks, and what runs inside it."""

from __future__ import annotations

from pvesim.cluster import guestlock, storage
from pvesim.cluster.qemu import drive, options, pending
from pvesim.cluster.state import Cluster, Guest
from pvesim.errors import ApiError

BOOT_SECONDS = 8  # until the guest agent answers, where time passes at all


def find(cluster: Cluster, node: str, vmid: int) -> Guest:
    """The VM, or ApiError 500 (load_config)."""
    return cluster.guest(node, "qemu", vmid)


def running(cluster: Cluster, node: str, vmid: int) -> Guest | None:
    """The VM where it runs, else None; ApiError 500 where it has no config on that node (check_running)."""
    found = cluster.guests.get(vmid)
    if found is None or found.kind != "qemu" or found.node != node:
        raise ApiError(500, f"unable to find configuration file for VM {vmid} on node '{node}'")
    return found if found.running is not None else None


def check_protection(guest: Guest, what: str) -> None:
    """ApiError 500 where `protection` is set."""
    if guest.config.get("protection") == "1":
        raise ApiError(500, f"{what} - protection mode enabled")


def check_template(guest: Guest, *, whole: bool) -> None:
    """ApiError 500 where it cannot become a template; a single disk of one can still be converted (`whole=False`)."""
    guestlock.check(guest)
    if guest.snapshots:
        raise ApiError(500, "unable to create template, because VM contains snapshots")
    if guest.is_template and whole:
        raise ApiError(500, "you can't convert a template to a template")
    if guest.running is not None:
        raise ApiError(500, "you can't convert a VM to template if VM is running")


def save(cluster: Cluster, guest: Guest) -> None:
    """What every write of the config does besides writing; ApiError 500 without quorum."""
    cluster.writable(guest)
    pending.tidy(guest)
    if guest.cloudinit and drive.cloudinit_slot(guest.config) is None:
        guest.cloudinit = {}


def has_system(cluster: Cluster, guest: Guest) -> bool:
    """Whether something would boot: a disk that did not begin empty, or a CD."""
    if any(one.is_cdrom and not one.is_cloudinit and one.file != "none" for one in drive.drives(guest.config)):
        return True
    return _has_installed_system(cluster, guest)


def _has_installed_system(cluster: Cluster, guest: Guest) -> bool:
    for one in drive.drives(guest.config):
        if one.slot in drive.BOOTABLE and not one.is_cdrom:
            volume = storage.find(cluster, guest.node, one.file)
            if volume is None or not volume.extra.get("empty"):
                return True
    return False


def agent_answers(cluster: Cluster, guest: Guest) -> bool:
    """Whether the guest agent is there: switched on when the VM was started, and a booted system on a disk."""
    if guest.running is None or guest.paused or not options.agent_enabled(guest.running):
        return False
    booted = not cluster.clock.real or cluster.clock.now() - (guest.started_at or 0) >= BOOT_SECONDS
    return booted and _has_installed_system(cluster, guest)
