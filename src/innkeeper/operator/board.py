"""All that the operator knows of its custom resources: what the watch told last, and which machine belongs where."""

from collections.abc import Iterable, Iterator

from innkeeper.model.vitistack import CLUSTER_LABEL
from innkeeper.operator.objects import CLUSTER, CLUSTERS, GUESTS, NODES, PROFILES, Key, Object
from innkeeper.operator.wanted import recorded


class Board:
    """Objects by key. `default` is the ProxmoxCluster of machines without a label: `name`, or `namespace/name`."""

    def __init__(self, default: str = "") -> None:
        self._default = default
        self._objects: dict[Key, Object] = {}

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
        return known is None or known.fingerprint != item.fingerprint

    def clear(self) -> None:
        self._objects.clear()

    def drop(self, key: Key) -> None:
        self._objects.pop(key, None)

    def of(self, *plurals: str) -> Iterator[Object]:
        return (item for item in self._objects.values() if item.key.plural in plurals)

    def profiles(self, namespace: str) -> tuple[Object, ...]:
        return tuple(item for item in self.of(PROFILES) if item.key.namespace == namespace)

    def home(self, machine: Object) -> Key | None:
        """The ProxmoxCluster of a machine: recorded, named, or the default one; None where it has none.

        Only the default one may lie in another namespace, whatever somebody writes into an annotation: who may make
        machines in one namespace has no use of the credentials of another.
        """
        made = machine.annotations.get(CLUSTER, "")
        own = made if made == self._default or made.startswith(f"{machine.key.namespace}/") else ""
        word = own or _named(machine) or self._default
        if not word:
            return None
        namespace, _, name = word.rpartition("/")
        return Key(CLUSTERS, namespace or machine.key.namespace, name)

    def moved(self, machine: Object) -> bool:
        """Whether a machine that was made on one cluster is labelled for another now."""
        label, made = _named(machine), machine.annotations.get(CLUSTER)
        return bool(label and made and made != (label if "/" in label else f"{machine.key.namespace}/{label}"))

    def machines(self, cluster: Key) -> tuple[Object, ...]:
        """The machines of one ProxmoxCluster, the eldest first."""
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
        """Every vmid that an object has, on whichever cluster: two ProxmoxClusters may be one and the same."""
        found = {recorded(item.annotations) for item in self.of(*GUESTS)}
        found |= {item.spec.get("vmid") for item in self.of(*GUESTS)}
        return {vmid for vmid in found if vmid is not None}


def _named(machine: Object) -> str | None:
    """The ProxmoxCluster that a native manifest names in its spec, a Machine in its label."""
    named = machine.spec.get("cluster") if machine.key.native else machine.labels.get(CLUSTER_LABEL)
    return str(named) if named else None
