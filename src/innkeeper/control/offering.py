"""What a form may offer: only what exists and is approved, and the next id and address that are free."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Interface, IPv4Network

from pydantic import TypeAdapter, ValidationError

from innkeeper.control.forms import ClusterOptions, FormOptions, ProfileOptions
from innkeeper.control.house import House
from innkeeper.control.memory import GuestQuery
from innkeeper.engine.errors import EngineError
from innkeeper.engine.ports import Scope
from innkeeper.manifests.files import bundled_profiles
from innkeeper.manifests.loading import load
from innkeeper.model.objects import Cluster, Profile
from innkeeper.model.observed import ClusterView
from innkeeper.model.records import GuestRecord
from innkeeper.model.units import GiB, MiB, parse_quantity
from innkeeper.planner.policy import Unreachable
from innkeeper.planner.templates import short_names

MOST = 1_000_000
_KEPT = TypeAdapter(tuple[ProfileOptions, ...])


async def options(house: House, source: str = "") -> FormOptions:
    chosen = source or first(house)
    if not chosen:
        return FormOptions("", profiles=_bundled())
    found = house.source(chosen)
    page = await house.store.guests(GuestQuery(limit=MOST))
    names = [name for name in sorted(house.clusters) if found.spec.clusters is None or name in found.spec.clusters]
    clusters = await asyncio.gather(*(_cluster(house, house.clusters[name], page.guests) for name in names))
    return FormOptions(
        source=chosen,
        sources=_writable(house),
        clusters=tuple(clusters),
        profiles=await profiles(house, chosen),
        below=found.spec.write or "",
        pull=found.spec.propose,
    )


def first(house: House) -> str:
    """The source that a form means where it names none: one that forms may write to, if there is any."""
    return next(iter(_writable(house)), next(iter(sorted(house.sources)), ""))


def _writable(house: House) -> tuple[str, ...]:
    return tuple(sorted(name for name, item in house.sources.items() if item.spec.write))


async def keep_profiles(house: House, source: str, own: Iterable[Profile]) -> None:
    """Remember what a repository offers when it is read anyway: no page can wait for ten thousand manifests."""
    await house.store.put_value(_key(source), _KEPT.dump_python(tuple(map(_profile, own)), mode="json", by_alias=True))


async def profiles(house: House, source: str) -> tuple[ProfileOptions, ...]:
    """The repository's own as they were read last, and those that come with Innkeeper."""
    own: tuple[ProfileOptions, ...] = ()
    with suppress(ValidationError):  # what another version kept; the next look at the repository keeps it anew
        own = _KEPT.validate_python(await house.store.value(_key(source)) or ())
    hidden = {item.name for item in own}
    return (*own, *(item for item in _bundled() if item.name not in hidden))


def _key(source: str) -> str:
    return f"profiles/{source}"


@cache
def _bundled() -> tuple[ProfileOptions, ...]:
    """They change with the package only."""
    loaded = load(list(bundled_profiles().values()))
    return tuple(_profile(item, bundled=True) for item in loaded.declared.profiles)


def _profile(item: Profile, *, bundled: bool = False) -> ProfileOptions:
    spec = item.spec
    return ProfileOptions(
        name=item.name,
        description=spec.description or "",
        kinds=spec.supported_kinds,
        allowed=spec.allowed,
        cores=_number(spec.defaults, "cpu", "cores"),
        memory=_size(spec.defaults, MiB, "memory"),
        disk=_size(spec.defaults, GiB, "rootDisk", "size"),
        packages=spec.default_packages,
        web_server=spec.default_web_server or "",
        may_be_public=spec.allow_public_exposure,
        may_have_domain=spec.allow_domain,
        actions=spec.post_create_actions,
        bundled=bundled,
    )


def _at(data: object, *path: str) -> object:
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _number(data: object, *path: str) -> int | None:
    found = _at(data, *path)
    return found if isinstance(found, int) else None


def _size(data: object, unit: int, *path: str) -> int | None:
    found = _at(data, *path)
    return parse_quantity(found) // unit if isinstance(found, str) else None


async def _cluster(house: House, cluster: Cluster, guests: Iterable[GuestRecord]) -> ClusterOptions:
    try:
        async with house.links.connected((cluster,)) as links:
            link = links[cluster.name]
            if isinstance(link, Unreachable):
                return ClusterOptions(cluster.name, problem=link.message)
            view = await link.observe(Scope(ours=False, catalog=True))
    except EngineError as error:
        return ClusterOptions(cluster.name, problem=error.message)
    here = [item for item in guests if item.cluster == cluster.name]
    address, gateway = await asyncio.to_thread(next_address, here)  # other pages go on meanwhile
    online = sorted(name for name, node in view.nodes.items() if node.online)
    volumes = [volume for name in online for volume in (view.templates or {}).get(name, ())]
    kinds = {"rootdir", "images"}
    return ClusterOptions(
        name=cluster.name,
        nodes=tuple(online),
        storages=tuple(sorted({item.name for item in view.storages if item.available and kinds & item.content})),
        bridges=tuple(sorted({bridge for name in online for bridge in (view.bridges or {}).get(name, ())})),
        templates=tuple(short_names(volumes)),
        machines=_machines(view),
        next_vmid=_next_vmid(cluster, view, here),
        next_address=address,
        gateway=gateway,
    )


def _machines(view: ClusterView) -> tuple[str, ...]:
    found = (item.name for item in view.guests.values() if item.template and item.kind == "VirtualMachine")
    return tuple(sorted(name for name in found if name))


def _next_vmid(cluster: Cluster, view: ClusterView, guests: Iterable[GuestRecord]) -> int | None:
    taken = {*view.guests, *(item.vmid for item in guests)}
    pool = cluster.spec.vmids
    return next((vmid for vmid in range(pool.first, pool.last + 1) if vmid not in taken), None)


def next_address(guests: Iterable[GuestRecord]) -> tuple[str, str]:
    """The lowest free address of the network that most guests are in, and its gateway; empty where none is known."""
    networks: Counter[IPv4Network] = Counter()
    gateways: Counter[tuple[IPv4Network, str]] = Counter()
    taken: set[str] = set()
    for guest in guests:
        for spec in (guest.desired, guest.live):
            for address, gateway in _addresses(spec):
                taken |= {str(address.ip), gateway}
                networks[address.network] += 1
                gateways[address.network, gateway] += bool(gateway)
        if guest.address:
            taken.add(guest.address)
    if not networks:
        return "", ""
    network = networks.most_common(1)[0][0]
    gateway = next((name for (net, name), _ in gateways.most_common() if net == network and name), "")
    free = next((host for host in network.hosts() if str(host) not in taken and int(host) & 0xFF > 1), None)
    return (f"{free}/{network.prefixlen}" if free else ""), gateway


def _addresses(spec: Mapping[str, object]) -> Iterable[tuple[IPv4Interface, str]]:
    nics = spec.get("network")
    for nic in (*(nics if isinstance(nics, list | tuple) else ()), spec.get("cloudInit")):
        text = nic.get("ip") if isinstance(nic, Mapping) else None
        if isinstance(text, str) and "/" in text and isinstance(nic, Mapping):
            yield IPv4Interface(text), str(nic.get("gateway") or "")
