"""The rights that a method's declaration states (PVE::RPCEnvironment, check_api2_permissions, exec_api2_perm_check)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pvesim.api.method import Call, Params
from pvesim.cluster import access
from pvesim.cluster.access import check_rights, denied
from pvesim.cluster.state import Cluster
from pvesim.errors import ApiError
from pvesim.schema import Method

Check = tuple[Any, ...]


def check(method: Method, call: Call) -> None:
    """ApiError 403 where the declaration already says no."""
    if method.user == "world" or (method.user == "all" and call.auth.userid) or call.auth.is_root:
        return
    if not call.auth.userid:
        raise denied("user != null")
    if method.check is None:
        raise denied("user != root@pam")
    _TESTS[str(method.check[0])](method.check, call)


def _and(test: Check, call: Call) -> None:
    for part in test[1:]:
        _TESTS[part[0]](part, call)


def _or(test: Check, call: Call) -> None:
    for part in test[1:]:
        try:
            _TESTS[part[0]](part, call)
        except ApiError:
            continue
        return
    raise denied()


def _perm(test: Check, call: Call) -> None:
    path, privs = str(test[1]), tuple(test[2])
    options = _options(test[3:])
    needed = options.get("require_param")
    if needed and call.params.get(needed) is None:
        raise denied()
    check_rights(call.rights, _fill(path, call.params), privs, any_of=bool(options.get("any")))


def _perm_modify(test: Check, call: Call) -> None:
    path = access.normalize_path(_fill(str(test[1]), call.params))
    if path:
        check_modify(call, path)


def check_modify(call: Call, path: str) -> None:
    """ApiError 403 unless the caller may change the permissions of `path`."""
    check_rights(call.rights, path, access.modify_privs(path), any_of=True)


def _userid_param(test: Check, call: Call) -> None:
    userid = str(call.params.get("userid"))
    if test[1] == "self":
        _existing(call.cluster, userid)
        if call.auth.name != userid:
            raise denied()
    else:
        check_rights(call.rights, f"/access/realm/{userid.rpartition('@')[2]}", ("Realm.AllocateUser",))


def _userid_group(test: Check, call: Call) -> None:
    privs, options = tuple(test[1]), _options(test[2:])
    userid = str(call.params.get("userid"))
    if options.get("groups_param") != "create":
        _existing(call.cluster, userid)
    if call.rights.has("/access/groups", privs, any_of=True):
        return
    mine = {name for name in call.cluster.groups if call.rights.has(f"/access/groups/{name}", privs, any_of=True)}
    words = "|".join(privs)
    if options.get("groups_param"):
        wanted = re.split(r"[,;\s\0]+", str(call.params.get("groups") or "").strip())
        if not any(wanted):
            raise denied(f"/access/groups, {words}")
        for group in wanted:
            if group not in mine:
                raise denied(f"/access/groups/{group}, {words}")
    if options.get("groups_param") != "create" and not any(userid in call.cluster.groups[name].users for name in mine):
        raise denied()


def _existing(cluster: Cluster, userid: str) -> None:
    if userid not in cluster.users:
        raise ApiError(500, f"no such user ('{userid}')")


def _options(rest: Check) -> dict[str, Any]:
    return dict(zip(rest[::2], rest[1::2], strict=False))


def _fill(template: str, params: Params) -> str:
    return re.sub(r"\{([\w-]+)\}", lambda found: str(params.get(found[1], "")), template)


_TESTS: dict[str, Callable[[Check, Call], None]] = {
    "and": _and,
    "or": _or,
    "perm": _perm,
    "perm-modify": _perm_modify,
    "userid-param": _userid_param,
    "userid-group": _userid_group,
}
