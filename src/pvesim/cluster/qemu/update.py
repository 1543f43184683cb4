"""Changing a virtual machine's settings, at once or by a task (PVE::API2::Qemu, update_vm_api)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pvesim.cluster import guestlock
from pvesim.cluster.qemu import apply, disks, drive, machine, net, options, pending, properties, settings
from pvesim.cluster.qemu.rights import (
    Caller,
    check_bridges,
    check_device,
    check_drive,
    check_settings,
    check_storages,
    check_tags,
    check_vm,
)
from pvesim.cluster.state import Config, Guest
from pvesim.errors import ApiError, TaskFailed, param_error

Log = Callable[[str], None]
_CONTROL = properties.words(
    "node vmid digest background_delay skip_cloud_init import-working-storage skiplock delete revert force"
)
_DEVICE = re.compile(r"(serial|usb|hostpci|rng|virtiofs)\d+")
_HASHED = re.compile(r"\$(?:[156]|2[ay])(?:\$.+){2}")


@dataclass
class Change:
    """One request, checked as far as that goes without the VM: what to set, to delete and to revert."""

    node: str
    vmid: int
    text: str  # how the log states it
    settings: Config = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    revert: list[str] = field(default_factory=list)
    force: bool = False
    skiplock: bool = False
    digest: str | None = None


def prepare(call: Caller, params: dict[str, Any]) -> Change:
    """Everything that can be refused before the VM is looked at; ApiError 400, 403, 500."""
    wanted = settings.taken(params, _CONTROL)
    shown = {key: settings.raw("" if value is None else value) for key, value in params.items() if key not in _QUIET}
    text = " ".join(f"-{key} {'<hidden>' if key == 'cipassword' else shown[key]}" for key in sorted(shown))
    change = Change(str(params["node"]), int(params["vmid"]), text, wanted, digest=params.get("digest"))
    change.force, change.skiplock = bool(params.get("force")), bool(params.get("skiplock"))
    if change.skiplock and not call.auth.is_root:
        raise param_error(skiplock="Only root may use this option.")
    settings.check_ssh_keys(wanted)
    settings.normalize(wanted)
    if not wanted and not params.get("delete") and not params.get("revert"):
        raise ApiError(500, "no options specified")
    _read_lists(change, settings.raw(params.get("revert") or ""), settings.raw(params.get("delete") or ""))
    settings.check_drives(call.cluster, wanted)
    settings.complete_nets(call.cluster, wanted)
    if wanted.get("vmgenid") == "1":
        wanted["vmgenid"] = settings.new_uuid()
    if "hookscript" in wanted and (trouble := settings.check_hookscript(call, change.node, wanted["hookscript"])):
        raise param_error(hookscript=trouble)
    check_settings(call, change.vmid, None, change.delete)
    check_settings(call, change.vmid, None, sorted(wanted))
    check_storages(call, change.vmid, wanted, extraction=params.get("import-working-storage"))
    check_bridges(call, wanted)
    return change


_QUIET = properties.words("node vmid digest background_delay skip_cloud_init import-working-storage")


def _read_lists(change: Change, revert: str, delete: str) -> None:
    for key in properties.items(revert):
        if not options.exists(key):
            raise param_error(revert=f"unknown option '{key}'")
        if key in change.settings:
            raise param_error(delete=f"you can't use '-{key}' and -revert {key}' at the same time")
        change.revert.append(key)
    for name in properties.items(delete):
        key = "ide2" if name == "cdrom" else name
        if key in change.settings:
            raise param_error(delete=f"you can't use '-{key}' and -delete {key}' at the same time")
        if key in change.revert:
            raise param_error(revert=f"you can't use '-delete {key}' and -revert {key}' at the same time")
        if not options.exists(key):
            raise param_error(delete=f"unknown option '{key}'")
        change.delete.append(key)


def check(call: Caller, change: Change) -> Guest:
    """What is refused at once although the VM is not locked yet: it is checked again under its lock."""
    guest = machine.find(call.cluster, change.node, change.vmid)
    if change.digest and change.digest != call.cluster.digest(guest):
        raise ApiError(500, "checksum mismatch (file change by other user?)")
    if not change.skiplock and not ("vmstate" in change.delete and guest.config.get("lock") == "suspended"):
        guestlock.check(guest)
    settings.check_balloon(change.settings, guest.config, guest.pending)
    return guest


@dataclass
class _Work:
    """A change under way: the VM under its lock, the boot order as it will be, and which settings were touched."""

    call: Caller
    guest: Guest
    wanted: Config
    delete: list[str]
    log: Log
    order: list[str]
    touched: dict[str, None] = field(default_factory=dict)

    def reorder(self) -> None:
        pending.want(self.guest, "boot", options.print_boot_order(self.order))
        self.touched["boot"] = None


async def run(call: Caller, change: Change, log: Log) -> None:
    """Do it, holding the VM's lock; ApiError 400 names what a running VM refused."""
    async with call.cluster.locks.guest(change.node, "qemu", change.vmid):
        guest = check(call, change)
        delete, wanted = list(change.delete), dict(change.settings)
        if "vmstate" in delete:
            extra = ("lock",) if guest.config.get("lock") == "suspended" else ()
            delete += [key for key in (*extra, "runningmachine", "runningcpu") if key in guest.config]
        for key in change.revert:
            if key in guest.config:
                wanted[key] = guest.config[key]
            elif key in guest.pending:
                delete.append(key)
        log(f"update VM {change.vmid}: {change.text}")
        settings.check_lines(wanted)
        call.cluster.writable(guest)
        work = _Work(call, guest, wanted, delete, log, options.boot_order(guest.config))
        for key in delete:
            await _delete(work, key, force=change.force)
        for key in sorted(wanted):
            await _set(work, key, wanted[key])
        machine.save(call.cluster, guest)
        if not guest.pending and not guest.pending_delete:
            return
        if guest.running is not None:
            errors = await apply.to_running(call, guest, work.touched.keys(), log)
        else:
            errors = await apply.all_pending(call, guest, log)
        if errors:
            raise ApiError(400, "Parameter verification failed.", errors)


async def run_task(call: Caller, change: Change, log: Log) -> None:
    """The same inside a task, whose end states what was refused."""
    try:
        await run(call, change, log)
    except ApiError as error:
        if not error.errors:
            raise
        named = "\n".join(f"{key}: {text}".rstrip() for key, text in error.errors.items())
        raise TaskFailed(f"{error.status} {error.message}\n{named}") from None


async def _delete(work: _Work, key: str, *, force: bool) -> None:
    call, guest = work.call, work.guest
    value = guest.config.get(key, guest.pending.get(key))
    if value is None:
        work.log(f"cannot delete '{key}' - not set in current configuration!")
        return
    work.touched[key] = None
    if key in work.order:
        work.order.remove(key)
        work.reorder()
    waiting = guest.pending.pop(key, None)
    if key in drive.unused(guest.config) or key == "vmstate":
        what = "vmstate" if key == "vmstate" else "unused disk"
        machine.check_protection(guest, f"can't remove {what} '{value}'")
        if key != "vmstate":
            check_vm(call, guest.vmid, None, "VM.Config.Disk")
        await disks.remove(call, guest, key, value)
        guest.config.pop(key, None)
    elif key == "tags":
        check_tags(call, guest.vmid, value, "")
        guest.config.pop(key, None)
    else:
        await _check_delete(work, key, value, waiting)
        pending.want_gone(guest, key, force=force)


async def _check_delete(work: _Work, key: str, value: str, waiting: str | None) -> None:
    call, guest = work.call, work.guest
    if drive.is_drive(key):
        machine.check_protection(guest, f"can't remove drive '{key}'")
        check_drive(call, guest.vmid, value, key)
        if waiting and (one := drive.parse(key, waiting)):
            await disks.let_go(call.cluster, guest, one, work.log)
    elif _DEVICE.fullmatch(key):
        check_device(call, guest.vmid, None, key, value, "delete")
    elif net.IS_NET.fullmatch(key) and key in guest.config:
        check_bridges(call, {key: guest.config[key]})


async def _set(work: _Work, key: str, value: str) -> None:
    work.touched[key] = None
    call, guest = work.call, work.guest
    old = guest.config.get(key)
    if guest.pending.get(key) == value:
        return
    if drive.is_drive(key):
        await _set_drive(work, key, value)
        return
    if _DEVICE.fullmatch(key):
        for text in filter(None, (old, value)):
            check_device(call, guest.vmid, None, key, text, "modify")
    elif key == "tags":
        check_tags(call, guest.vmid, old or "", value)
        value = options.unique_tags(value, str(call.cluster.options.get("tag-style") or ""))
    elif key == "vga":
        settings.check_vga(work.wanted)
    elif net.IS_NET.fullmatch(key) and old is not None:
        check_bridges(call, {key: old})
    elif key == "cipassword":
        guest.config[key] = value if options.is_windows(guest.config) else hashed(value)
        guest.pending_delete.pop(key, None)
        return
    elif key == "boot":
        value = _boot(work, value)
    if key == "description" and not value:  # a file without description lines has none
        pending.want_gone(guest, key)
    else:
        pending.want(guest, key, value or " ")


def _boot(work: _Work, value: str) -> str:
    guest, order = work.guest, options.boot_order({"boot": value})
    for device in order:
        there = device in guest.config or device in guest.pending or device in work.wanted
        if not there or device in work.delete:
            raise ApiError(500, f"invalid bootorder: device '{device}' does not exist'")
    if order and "bootdisk" in guest.config:
        pending.want_gone(guest, "bootdisk")
    return options.print_boot_order(order) if order else value


async def _set_drive(work: _Work, slot: str, value: str) -> None:
    call, guest = work.call, work.guest
    old = guest.config.get(slot)
    if old is not None:
        check_drive(call, guest.vmid, old, slot)
        _check_tpm(slot, old, value)
    check_drive(call, guest.vmid, value, slot)
    if slot in guest.pending and (waiting := drive.parse(slot, guest.pending[slot])):
        await disks.let_go(call.cluster, guest, waiting, work.log)
    asked = {slot: value}
    made = await disks.create(call, guest.node, guest.vmid, guest.config, asked, work.log, waiting=guest.pending)
    for key, text in made.settings.items():
        pending.want(guest, key, text)
    one = drive.parse(slot, value)
    if work.order and one and not one.is_disk and slot not in work.order:
        work.order.append(slot)
        work.reorder()


def _check_tpm(slot: str, old: str, new: str) -> None:
    before, after = drive.parse(slot, old), drive.parse(slot, new)
    if slot != "tpmstate0" or not before or not after or before.file != after.file:
        return
    if before.options.get("version", "v1.2") != after.options.get("version", "v1.2"):
        raise ApiError(500, "cannot change TPM state version after creation")


def hashed(password: str) -> str:
    """A password in the shape that Proxmox stores: `$5$SALT$…`; one that is hashed already stays.

    Only the shape: nothing here ever verifies it.
    """
    if _HASHED.match(password):
        return password
    alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    salt = "".join(secrets.choice(alphabet[2:]) for _ in range(8))
    number = int.from_bytes(hashlib.sha256(f"{salt}${password}".encode()).digest(), "big")
    return f"$5${salt}$" + "".join(alphabet[(number >> 6 * n) & 63] for n in range(43))
