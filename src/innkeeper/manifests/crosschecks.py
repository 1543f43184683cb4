"""What objects say against each other: names, vmids, addresses and MACs used twice, needs that cannot be met."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from ipaddress import ip_interface

from innkeeper.manifests.origins import finding
from innkeeper.manifests.vocabulary import nearest
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerNic, ContainerSpec, VirtualMachineNic
from innkeeper.model.objects import Cluster, Guest, Ref

Claim = tuple[Hashable, str, str]
"""What is claimed, the field that claims it, and its words for a message."""


def check_clusters(clusters: Iterable[Cluster]) -> Iterator[Diagnostic]:
    owners: dict[str, Cluster] = {}
    for cluster in clusters:
        if cluster.spec.tls.insecure:
            advice = "Name the cluster's certificate instead: tls.caFile or tls.fingerprint."
            problem = "whoever sits between us and the cluster can read and change everything"
            yield finding("InsecureTLS", cluster.origin, "spec.tls.insecure", problem, advice, "warning")
        for index, endpoint in enumerate(cluster.spec.endpoints):
            url, field = endpoint.rstrip("/"), f"spec.endpoints.{index}"
            owner = owners.setdefault(url, cluster)
            if owner is not cluster:
                problem = f"{url} is an endpoint of Cluster/{owner.name} too ({owner.origin.location})"
                advice = "Declare each Proxmox cluster once."
                yield finding("DuplicateEndpoint", cluster.origin, field, problem, advice)


def check_together(guests: tuple[Guest, ...], known: set[Ref]) -> Iterator[Diagnostic]:
    """`known` also holds guests whose own manifest is faulty, so that one slip is reported once."""
    yield from _twice(guests, "DuplicateVMID", _vmids, "Leave vmid out to get the lowest free one of the pool.")
    yield from _twice(guests, "DuplicateAddress", _addresses, "Give each guest its own address.")
    yield from _twice(guests, "DuplicateMAC", _macs, "Leave mac out to get one from Proxmox.")
    yield from _twice(guests, "DuplicateDomain", _domains, "A domain leads to one guest.", everywhere=True)
    needs = {guest.ref: guest for guest in guests if guest.spec.needs}
    names = [str(ref) for ref in known]
    for guest in needs.values():
        yield from _unknown_needs(guest, known, names)
    yield from _cycles(needs)


def _twice(
    guests: Iterable[Guest],
    code: str,
    claims: Callable[[Guest], Iterable[Claim]],
    advice: str,
    *,
    everywhere: bool = False,
) -> Iterator[Diagnostic]:
    """`everywhere`: on all clusters together."""
    first: dict[Hashable, tuple[Guest, str]] = {}
    for guest in guests:
        for thing, field, words in claims(guest):
            key = (None if everywhere else guest.spec.cluster, thing)
            if key in first:
                owner, place = first[key]
                problem = f"{words} belongs to {owner.ref} already ({owner.origin.at(place)})"
                yield finding(code, guest.origin, field, problem, advice)
            else:
                first[key] = guest, field


def _vmids(guest: Guest) -> Iterator[Claim]:
    if guest.spec.vmid is not None:
        yield guest.spec.vmid, "spec.vmid", f"vmid {guest.spec.vmid}"


def _domains(guest: Guest) -> Iterator[Claim]:
    if guest.spec.expose is not None:
        domain = guest.spec.expose.domain
        yield domain, "spec.expose.domain", f"domain {domain}"


def _addresses(guest: Guest) -> Iterator[Claim]:
    """Static addresses with the VLAN that they live in."""
    spec = guest.spec
    if isinstance(spec, ContainerSpec):
        for index, nic in enumerate(spec.network or ()):
            for name, address in (("ip", nic.ip), ("ip6", nic.ip6)):
                if address is not None and "/" in address:
                    yield from _address(address, nic.vlan, f"spec.network.{index}.{name}")
    elif spec.cloud_init is not None:
        vlan = next((nic.vlan for nic in spec.network or () if nic.slot == "net0"), None)
        for name, address in (("ip", spec.cloud_init.ip), ("ip6", spec.cloud_init.ip6)):
            if address is not None and "/" in address:
                yield from _address(address, vlan, f"spec.cloudInit.{name}")


def _address(address: str, vlan: int | None, field: str) -> Iterator[Claim]:
    ip = address.partition("/")[0]
    if ":" in ip and ip_interface(address).is_link_local:
        return
    yield (vlan, ip), field, f"{ip} on VLAN {vlan}" if vlan else ip


def _macs(guest: Guest) -> Iterator[Claim]:
    nics: Iterable[ContainerNic | VirtualMachineNic] = guest.spec.network or ()
    for index, nic in enumerate(nics):
        if nic.mac is not None:
            yield nic.mac, f"spec.network.{index}.mac", nic.mac


def _unknown_needs(guest: Guest, known: set[Ref], names: list[str]) -> Iterator[Diagnostic]:
    for index, need in enumerate(guest.spec.needs):
        kind, _, name = need.partition("/")
        if Ref(kind, name) not in known:
            near = nearest(need, names)
            advice = f"Did you mean {near}?" if near else "Declare it, or remove the need."
            yield finding("UnknownNeed", guest.origin, f"spec.needs.{index}", f"{need} is not declared", advice)


def _cycles(needs: dict[Ref, Guest]) -> Iterator[Diagnostic]:
    """One finding for each cycle, at the guest that is read first. Iterative: chains may be thousands long."""
    done: set[Ref] = set()
    for start in needs:
        path: list[Ref] = []
        on_path: set[Ref] = set()
        stack: list[tuple[Ref, bool]] = [(start, False)]
        while stack:
            ref, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(ref)
                done.add(ref)
                continue
            if ref in on_path:
                cycle = [*path[path.index(ref) :], ref]
                yield _cycle(needs[ref], cycle)
                continue
            if ref in done or ref not in needs:
                continue
            path.append(ref)
            on_path.add(ref)
            stack.append((ref, True))
            stack += [(Ref(*need.split("/", 1)), False) for need in reversed(needs[ref].spec.needs)]


def _cycle(guest: Guest, cycle: list[Ref]) -> Diagnostic:
    wanted = str(cycle[1])
    index = guest.spec.needs.index(wanted)
    problem = "these guests wait for each other: " + " needs ".join(str(ref) for ref in cycle)
    if len(cycle) == 2:
        problem = "a guest cannot need itself"
    return finding("NeedCycle", guest.origin, f"spec.needs.{index}", problem, "Remove one of the needs.")
