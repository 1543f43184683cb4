"""All that the operator knows of its custom resources: what the watch told last, and which object belongs where."""

from collections.abc import Callable, Iterable, Iterator

from innkeeper.model.vitistack import CLUSTER_LABEL
from innkeeper.operator.objects import (
    APPLICATIONS,
    CLUSTER,
    CLUSTERS,
    CONTAINERS,
    GUESTS,
    NODES,
    PROFILES,
    PROXMOX_CLUSTERS,
    VIRTUAL_MACHINES,
    WAYS,
    Key,
    Object,
    cluster_word,
)
from innkeeper.operator.wanted import recorded

_NEEDED = {"Container": CONTAINERS, "VirtualMachine": VIRTUAL_MACHINES}


class Board:
    """Objects by key. `default` is the cluster of guests that name none: `name`, or `namespace/name`.

    `heard` is called with each object that is newer than what was known, our own writes included, and with what goes.
    """

    def __init__(self, default: str = "", heard: Callable[[Object], None] = lambda item: None) -> None:
        self._default = default
        self._objects: dict[Key, Object] = {}
        self.heard = heard

    def get(self, key: Key) -> Object | None:
        return self._objects.get(key)

    def put(self, item: Object) -> bool:
        """Take note of an object; whether anything changed that the operator acts on.

        What is older than what is known (a watch lags behind our own writes) is left out.
        """
        known = self._objects.get(item.key)
        if known is not None and known.uid == item.uid and int(item.version) <= int(known.version):
            return False
        self._objects[item.key] = item
        self.heard(item)
        return known is None or known.fingerprint != item.fingerprint

    def clear(self) -> None:
        self._objects.clear()

    def drop(self, key: Key) -> None:
        if (item := self._objects.pop(key, None)) is not None:
            self.heard(item)

    def of(self, *plurals: str) -> Iterator[Object]:
        return (item for item in self._objects.values() if item.key.plural in plurals)

    def profiles(self, namespace: str) -> tuple[Object, ...]:
        return tuple(item for item in self.of(PROFILES) if item.key.namespace == namespace)

    def home(self, guest: Object) -> Key | None:
        """The cluster of a guest: recorded, named, or the default one; None where it has none.

        Only the default one may lie in another namespace, whatever somebody writes into an annotation: who may make
        guests in one namespace has no use of the credentials of another.
        """
        made, own = guest.annotations.get(CLUSTER, ""), guest.key.namespace
        default = self._cluster(self._default, guest) if self._default else None
        words = {cluster_word(Key(plural, default.namespace, default.name)) for plural in WAYS} if default else ()
        if made.startswith(f"{own}/") or made in words:
            namespace, *kind, name = made.split("/")
            return Key(CLUSTERS if kind == [CLUSTERS] else PROXMOX_CLUSTERS, namespace, name)
        word = _named(guest)
        return self._cluster(f"{own}/{word}", guest) if word else default

    def _cluster(self, word: str, guest: Object) -> Key:
        """The object of that name: of the guest's own family, unless only the other family has one."""
        namespace, _, name = word.rpartition("/")
        keys = [Key(plural, namespace or guest.key.namespace, name) for plural in WAYS]
        if guest.key.native:
            keys.reverse()
        return next((key for key in keys if key in self._objects), keys[0])

    def moved(self, guest: Object) -> bool:
        """Whether a guest that was made on one cluster names another now."""
        named, made = _named(guest), guest.annotations.get(CLUSTER)
        own = guest.key.namespace
        return bool(named and made and made not in (f"{own}/{named}", f"{own}/{CLUSTERS}/{named}"))

    def machines(self, cluster: Key) -> tuple[Object, ...]:
        """The guests of one cluster, the eldest first."""
        found = [item for item in self.of(*GUESTS) if self.home(item) == cluster]
        return tuple(sorted(found, key=lambda item: (item.created, item.key)))

    def limits(self, cluster: Key) -> dict[str, int]:
        """By node, how many machines ProxmoxNodes of this cluster let it hold."""
        return {
            item.spec["nodeName"]: item.spec["maxVMs"]
            for item in self.nodes(cluster)
            if item.spec.get("maxVMs") is not None
        }

    def nodes(self, cluster: Key) -> Iterable[Object]:
        return (
            item
            for item in self.of(NODES)
            if (item.key.namespace, item.spec.get("cluster")) == (cluster.namespace, cluster.name)
        )

    def promised(self) -> set[int]:
        """Every vmid that an object has, on whichever cluster: two clusters may be one and the same."""
        found = {recorded(item.annotations) for item in self.of(*GUESTS)}
        found |= {item.spec.get("vmid") for item in self.of(*GUESTS)}
        return {vmid for vmid in found if vmid is not None}

    def needs(self, guest: Object) -> tuple[Key, ...]:
        """The objects that a native guest needs, of its own namespace."""
        words = (str(need).partition("/") for need in guest.spec.get("needs") or ()) if guest.key.native else ()
        return tuple(
            Key(_NEEDED[kind], guest.key.namespace, name) for kind, _, name in words if kind in _NEEDED and name
        )

    def dependents(self, key: Key) -> tuple[Object, ...]:
        """The guests that need this one."""
        return tuple(item for item in self.of(*GUESTS) if item.spec.get("needs") and key in self.needs(item))

    def circle(self, guest: Object) -> tuple[Key, ...]:
        """The way from a guest over its needs back to itself; empty where there is none."""
        ways: list[tuple[Key, ...]] = [(guest.key,)]
        seen: set[Key] = set()
        while ways:
            way = ways.pop()
            item = self.get(way[-1])
            for need in self.needs(item) if item is not None else ():
                if need == guest.key:
                    return (*way, need)
                if need not in seen:
                    seen.add(need)
                    ways.append((*way, need))
        return ()

    def children(self, application: Object) -> tuple[Object, ...]:
        """The guests that were made for an Application."""
        own = (
            item
            for item in self.of(CONTAINERS)
            if item.owner is not None
            and (item.owner.uid, item.key.namespace) == (application.uid, application.key.namespace)
        )
        return tuple(sorted(own, key=lambda item: item.key))

    def parent(self, item: Object) -> Key | None:
        """The Application that an object was made for."""
        return Key(APPLICATIONS, item.key.namespace, item.owner.name) if item.owner is not None else None


def _named(guest: Object) -> str | None:
    """The cluster that a native manifest names in its spec, a Machine in its label."""
    named = guest.spec.get("cluster") if guest.key.native else guest.labels.get(CLUSTER_LABEL)
    return str(named) if named else None
