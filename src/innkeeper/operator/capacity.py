"""What a look at a cluster says about the cluster and its nodes. Pure."""

from typing import Any

from innkeeper.model.observed import ClusterView
from innkeeper.model.status import Condition
from innkeeper.operator import placing
from innkeeper.operator.objects import Object


def cluster_fields(view: ClusterView) -> dict[str, Any]:
    """The status fields of a ProxmoxCluster."""
    return {
        "ready": True,
        "version": ".".join(map(str, view.version)),
        "nodes": sorted(name for name, node in view.nodes.items() if node.online),
    }


def node_fields(item: Object, view: ClusterView) -> tuple[dict[str, Any], Condition]:
    """The status fields of a ProxmoxNode, and whether it is ready. Memory and storage in bytes, cpu in cores."""
    name = str(item.spec.get("nodeName", ""))
    node = view.nodes.get(name)
    if node is None:
        return {"ready": False}, Condition("Ready", "False", "NodeNotFound", f"the cluster has no node {name}")
    fields: dict[str, Any] = {"ready": node.online, "vmCount": placing.machines(view)[name]}
    if not node.online:
        return fields, Condition("Ready", "False", "NodeOffline", f"node {name} is offline")
    here = [storage for storage in view.storages if storage.node == name and storage.available]
    total, free = sum(storage.total for storage in here), sum(storage.free for storage in here)
    fields["resources"] = {
        "cpu": {"total": node.cpus, "used": node.busy},
        "memory": {"total": node.memory, "used": node.memory - node.free_memory},
        "storage": {"total": total, "used": total - free},
    }
    return fields, Condition("Ready", "True", "NodeOnline", f"node {name} is online")
