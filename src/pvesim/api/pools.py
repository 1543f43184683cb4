"""`/pools`: resource pools, in the form with the name in the path and in the one with a parameter. (PVE::API2::Pool)"""

from __future__ import annotations

from typing import Any

from pvesim.api.access import split_list, user_config
from pvesim.api.method import ApiError, Call, method
from pvesim.api.permission import check_modify
from pvesim.cluster import stats
from pvesim.cluster.state import Pool


@method("GET", "/pools")
def index(call: Call) -> object:
    wanted = call.params.get("poolid")
    if wanted is not None:
        call.check(f"/pool/{wanted}", "Pool.Audit")
        return [{"poolid": wanted} | _shown(call, _pool(call))]
    return [
        {"poolid": name} | ({"comment": pool.comment} if pool.comment else {})
        for name, pool in sorted(call.cluster.pools.items())
        if call.allowed(f"/pool/{name}", "Pool.Audit")
    ]


@method("GET", "/pools/{poolid}")
def read(call: Call) -> object:
    return _shown(call, _pool(call))


@method("POST", "/pools")
async def create(call: Call) -> None:
    name = str(call.params["poolid"])
    async with user_config(call, "create pool failed"):
        if name in call.cluster.pools:
            raise ApiError(500, f"pool '{name}' already exists")
        parent = name.rpartition("/")[0]
        if parent and parent not in call.cluster.pools:
            raise ApiError(500, f"parent '{parent}' of pool '{name}' does not exist")
        call.cluster.pools[name] = Pool(name, str(call.params.get("comment") or ""))


@method("PUT", "/pools")
@method("PUT", "/pools/{poolid}")
async def update(call: Call) -> None:
    async with user_config(call, "update pools failed"):
        pool = _pool(call)
        vms, moved = _vms(call, pool)
        storages = _storages(call, pool)
        if "comment" in call.params:
            pool.comment = str(call.params["comment"] or "")
        for other in call.cluster.pools.values():
            other.vms -= moved
        pool.vms, pool.storage = vms, storages


def _vms(call: Call, pool: Pool) -> tuple[set[int], set[int]]:
    """The guests that the pool has afterwards, and those that came from another."""
    vms, moved = set(pool.vms), set()
    for vmid in map(int, split_list(call.params.get("vms"))):
        check_modify(call, f"/vms/{vmid}")
        if call.params.get("delete"):
            if vmid not in vms:
                raise ApiError(500, f"VM {vmid} is not a pool member")
            vms.remove(vmid)
            continue
        if vmid in vms:
            raise ApiError(500, f"VM {vmid} is already a pool member")
        other = call.cluster.pool_of(vmid)
        if other is not None:
            if not call.params.get("allow-move"):
                raise ApiError(500, f"VM {vmid} belongs already to pool '{other}' and allow-move is not set")
            check_modify(call, f"/pool/{other}")
            moved.add(vmid)
        vms.add(vmid)
    return vms, moved


def _storages(call: Call, pool: Pool) -> set[str]:
    members = set(pool.storage)
    for storage in split_list(call.params.get("storage")):
        check_modify(call, f"/storage/{storage}")
        if call.params.get("delete"):
            if storage not in members:
                raise ApiError(500, f"Storage '{storage}' is not a pool member")
            members.remove(storage)
        elif storage in members:
            raise ApiError(500, f"Storage '{storage}' is already a pool member")
        else:
            members.add(storage)
    return members


@method("DELETE", "/pools")
@method("DELETE", "/pools/{poolid}")
async def delete(call: Call) -> None:
    cluster = call.cluster
    async with user_config(call, "delete pool failed"):
        pool = _pool(call)
        below = next((name for name in sorted(cluster.pools) if name.startswith(f"{pool.poolid}/")), None)
        if below:
            raise ApiError(500, f"pool '{pool.poolid}' is not empty (contains pool '{below}')")
        for vmid in sorted(pool.vms & cluster.guests.keys()):
            raise ApiError(500, f"pool '{pool.poolid}' is not empty (contains VM {vmid})")
        for storage in sorted(pool.storage & cluster.storages.keys()):
            raise ApiError(500, f"pool '{pool.poolid}' is not empty (contains storage '{storage}')")
        del cluster.pools[pool.poolid]
        cluster.acl = {entry for entry in cluster.acl if entry.path != f"/pool/{pool.poolid}"}


def _pool(call: Call) -> Pool:
    name = str(call.params["poolid"])
    if name not in call.cluster.pools:
        raise ApiError(500, f"pool '{name}' does not exist")
    return call.cluster.pools[name]


def _shown(call: Call, pool: Pool) -> dict[str, Any]:
    cluster, kind = call.cluster, call.params.get("type")
    guests = [cluster.guests[vmid] for vmid in sorted(pool.vms) if vmid in cluster.guests]
    members = [stats.guest_row(cluster, guest) for guest in guests if kind in (None, guest.kind)]
    if kind in (None, "storage"):
        for name in sorted(pool.storage & cluster.storages.keys()):
            storage = cluster.storages[name]
            node = next(node for node in [call.here, *cluster.nodes] if storage.on(node))
            members.append(stats.storage_row(cluster, storage, node))
    return {"members": members} | ({"comment": pool.comment} if pool.comment else {})
