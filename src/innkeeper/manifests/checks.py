"""What one guest says against itself: slots used twice, gateways that lead nowhere, secrets in plain text."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.manifests.vocabulary import nearest
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerNic, ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import ADOPT, Guest
from innkeeper.model.units import format_quantity

_ANNOTATIONS = (ADOPT,)
_SECRET_OPTIONS = {
    "password": "Set a password from inside the guest, or sign in with sshKeys.",
    "cipassword": "Sign in with cloudInit.sshKeys.",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ETHERNET = re.compile(r"eth(\d|[12]\d|3[01])")


def check_guest(guest: Guest) -> Iterator[Diagnostic]:
    spec = guest.spec
    if guest.annotations:
        yield from _annotations(guest)
    if spec.options:
        yield from _options(guest)
    if isinstance(spec, ContainerSpec):
        yield from _container(guest, spec)
    else:
        yield from _virtual_machine(guest, spec)


def nic_slot(nic: ContainerNic) -> str | None:
    """The Proxmox slot of a container's interface: as named, else `netN` for `ethN`."""
    match = _ETHERNET.fullmatch(nic.name)
    return nic.slot or (f"net{match[1]}" if match else None)


def _container(guest: Guest, spec: ContainerSpec) -> Iterator[Diagnostic]:
    nics, mounts = spec.network or (), spec.mounts or ()
    yield from _twice(guest, "DuplicateNIC", "spec.network.{}.name", [nic.name for nic in nics], "interface")
    yield from _twice(guest, "DuplicateSlot", "spec.network.{}", [nic_slot(nic) for nic in nics], "slot")
    yield from _twice(guest, "DuplicatePath", "spec.mounts.{}.path", [mount.path for mount in mounts], "path")
    yield from _twice(guest, "DuplicateSlot", "spec.mounts.{}.slot", [mount.slot for mount in mounts], "slot")
    for index, nic in enumerate(nics):
        field = f"spec.network.{index}"
        if nic_slot(nic) is None:
            advice = "Name its slot (net0 to net31); only eth0 to eth31 have one by their name."
            yield finding("MissingField", guest.origin, f"{field}.slot", f"interface {nic.name} has no slot", advice)
        yield from _gateway(guest, field, "", nic.ip, nic.gateway)
        yield from _gateway(guest, field, "6", nic.ip6, nic.gateway6)


def _virtual_machine(guest: Guest, spec: VirtualMachineSpec) -> Iterator[Diagnostic]:
    slots: list[str | None] = [disk.slot for disk in spec.disks or ()]
    yield from _twice(guest, "DuplicateSlot", "spec.disks.{}.slot", slots, "slot")
    nics = [nic.slot for nic in spec.network or ()]
    yield from _twice(guest, "DuplicateSlot", "spec.network.{}.slot", nics, "slot")
    yield from _twice(guest, "DuplicateSlot", "spec.bootOrder.{}", list(spec.boot_order or ()), "device")
    init = spec.cloud_init
    if init is not None:
        if init.storage is not None and init.slot in slots:
            advice = "Give the cloud-init drive another slot (spec.cloudInit.slot)."
            problem = f"slot {init.slot} holds a disk as well as the cloud-init drive"
            yield finding("DuplicateSlot", guest.origin, "spec.cloudInit.slot", problem, advice)
        yield from _gateway(guest, "spec.cloudInit", "", init.ip, init.gateway)
        yield from _gateway(guest, "spec.cloudInit", "6", init.ip6, init.gateway6)
    if spec.balloon is not None and spec.memory is not None and spec.balloon > spec.memory:
        problem = f"{format_quantity(spec.balloon)} is more than the memory ({format_quantity(spec.memory)})"
        advice = "The balloon is the least memory that the guest keeps: at most spec.memory."
        yield finding("BadCombination", guest.origin, "spec.balloon", problem, advice)


def _twice(guest: Guest, code: str, field: str, words: Sequence[str | None], what: str) -> Iterator[Diagnostic]:
    if len(words) < 2:
        return
    first: dict[str, int] = {}
    for index, word in enumerate(words):
        if word is None:
            continue
        if word in first:
            place = guest.origin.at(field.format(first[word]))
            problem = f"{what} {word} is used twice, first in line {place.line}"
            yield finding(code, guest.origin, field.format(index), problem, f"Give each its own {what}.")
        else:
            first[word] = index


def _gateway(guest: Guest, field: str, family: str, address: str | None, gateway: str | None) -> Iterator[Diagnostic]:
    path = f"{field}.gateway{family}"
    interface = ip_interface(address) if address is not None and "/" in address else None
    if interface is not None:
        yield from _host_address(guest, f"{field}.ip{family}", interface)
    if gateway is None:
        return
    if address is None:
        advice = f"Write ip{family} beside it, or leave the gateway out."
        yield finding("GatewayWithoutAddress", guest.origin, path, f"a gateway without ip{family}", advice)
    elif interface is None:
        problem = f"ip{family} is {address}, so this gateway has no effect"
        yield finding("GatewayIgnored", guest.origin, path, problem, "Leave the gateway out.", "warning")
    elif (router := ip_address(gateway)) not in interface.network and not router.is_link_local:
        problem = f"{gateway} is outside of {interface.network}"
        advice = "The guest reaches it only with a route of its own: check the prefix length."
        yield finding("GatewayOutside", guest.origin, path, problem, advice, "warning")
    elif router == interface.ip:
        problem = f"{gateway} is the guest's own address"
        yield finding("GatewayOutside", guest.origin, path, problem, "Name the router.", "warning")


def _host_address(guest: Guest, path: str, interface: IPv4Interface | IPv6Interface) -> Iterator[Diagnostic]:
    network = interface.network
    if isinstance(network.network_address, type(interface.ip)) and network.prefixlen < network.max_prefixlen - 1:
        v4 = interface.version == 4
        if interface.ip == network.network_address or (v4 and interface.ip == network.broadcast_address):
            kind = "network" if interface.ip == network.network_address else "broadcast"
            advice = "A guest has an address between the two."
            problem = f"{interface.ip} is the {kind} address of {network}"
            yield finding("NotAHostAddress", guest.origin, path, problem, advice, "warning")


def _options(guest: Guest) -> Iterator[Diagnostic]:
    for name, value in guest.spec.options.items():
        path = f"spec.options.{name}"
        if name in _SECRET_OPTIONS:
            yield finding(
                "PlainSecret", guest.origin, path, "a secret never stands in a manifest", _SECRET_OPTIONS[name]
            )
        elif isinstance(value, str) and _CONTROL.search(value):
            problem = f"{described(name)} holds a line break or another control character"
            yield finding("UnsafeValue", guest.origin, path, problem, "Proxmox settings are one line of text.")


def _annotations(guest: Guest) -> Iterator[Diagnostic]:
    for name, value in guest.annotations:
        path = f"metadata.annotations.{name}"
        if name == ADOPT:
            if value not in ("true", "false"):
                problem = f"{described(value)} is none of the allowed words"
                yield finding("UnknownValue", guest.origin, path, problem, 'Allowed: "true", "false".')
            elif value == "true" and guest.spec.vmid is None:
                advice = "Name the guest to take over: spec.vmid."
                yield finding("MissingField", guest.origin, path, "adoption needs a vmid", advice)
        elif name.startswith("innkeeper.dev/"):
            near = nearest(name, _ANNOTATIONS)
            advice = (f"Did you mean {near}? " if near else "") + f"Allowed: {', '.join(_ANNOTATIONS)}."
            yield finding("UnknownField", guest.origin, path, "there is no such annotation", advice)
