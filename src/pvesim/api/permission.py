"""The rights that a method's declaration states (PVE::RPCEnvironment, check_api2_permissions, exec_api2_perm_check)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pvesim.api.method import Call, Params
from pvesim.cluster import access
from pvesim.cluster.access import check_rights, denied
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
    _passes(method.check, call)


def _passes(test: Check, call: Call, *, quiet: bool = False) -> bool:
    """Whether the test passes; where it does not, ApiError unless `quiet`. Some refusals are never quiet."""
    try:
        return _TESTS[str(test[0])](test, call)
    except _Failed as failed:
        if quiet:
            return False
        raise failed.error from None


class _Failed(Exception):
    """A test that did not pass, in a way that `or` may overlook."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


def _and(test: Check, call: Call) -> bool:
    return all(_passes(part, call) for part in test[1:])


def _or(test: Check, call: Call) -> bool:
    if any(_passes(part, call, quiet=True) for part in test[1:]):
        return True
    raise _Failed(denied())


def _perm(test: Check, call: Call) -> bool:
    path, privs = str(test[1]), tuple(test[2])
    options = _options(test[3:])
    needed = options.get("require_param")
    if needed and call.params.get(needed) is None:
        raise _Failed(denied())
    return _has(call, _fill(path, call.params), privs, any_of=bool(options.get("any")))


def _has(call: Call, path: str, privs: tuple[str, ...], *, any_of: bool = False) -> bool:
    try:
        check_rights(call.rights, path, privs, any_of=any_of)
    except ApiError as error:
        raise _Failed(error) from None
    return True


def _perm_modify(test: Check, call: Call) -> bool:
    path = access.normalize_path(_fill(str(test[1]), call.params))
    return not path or _has(call, path, access.modify_privs(path), any_of=True)


def check_modify(call: Call, path: str) -> None:
    """ApiError 403 unless the caller may change the permissions of `path`."""
    check_rights(call.rights, path, access.modify_privs(path), any_of=True)


def _userid_param(test: Check, call: Call) -> bool:
    userid = _userid(call)
    if test[1] != "self":
        return _has(call, f"/access/realm/{userid.rpartition('@')[2]}", ("Realm.AllocateUser",))
    _existing(call, userid)
    if call.auth.name != userid:
        raise _Failed(denied())
    return True


def _userid_group(test: Check, call: Call) -> bool:
    privs, options = tuple(test[1]), _options(test[2:])
    userid, purpose = str(call.params.get("userid")), options.get("groups_param")
    if purpose != "create":
        _existing(call, _userid(call))
    if call.rights.has("/access/groups", privs, any_of=True):
        return True
    mine = {name for name in call.cluster.groups if call.rights.has(f"/access/groups/{name}", privs, any_of=True)}
    words = "|".join(privs)
    if purpose:
        wanted = [group for group in re.split(r"[,;\s\0]+", str(call.params.get("groups") or "")) if group]
        if not wanted:
            raise denied(f"/access/groups, {words}")
        for group in wanted:
            if group not in mine:
                raise denied(f"/access/groups/{group}, {words}")
    if purpose != "create" and not any(userid in call.cluster.groups[name].users for name in mine):
        raise _Failed(denied())
    return True


def _userid(call: Call) -> str:
    """The parameter, or ApiError 500 where it is no name of a user (PVE::Auth::Plugin, verify_username)."""
    userid = str(call.params.get("userid") or "")
    if len(userid) < 3:
        raise ApiError(500, f"user name '{userid}' is too short")
    if len(userid) > 64:
        raise ApiError(500, f"user name '{userid}' is too long ({len(userid)} > 64)")
    if not re.fullmatch(r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+", userid):
        raise ApiError(500, f"value '{userid}' does not look like a valid user name")
    return userid


def _existing(call: Call, userid: str) -> None:
    if userid not in call.cluster.users:
        raise _Failed(ApiError(500, f"no such user ('{userid}')"))


def _options(rest: Check) -> dict[str, Any]:
    return dict(zip(rest[::2], rest[1::2], strict=False))


def _fill(template: str, params: Params) -> str:
    return re.sub(r"\{([\w-]+)\}", lambda found: str(params.get(found[1], "")), template)


_TESTS: dict[str, Callable[[Check, Call], bool]] = {
    "and": _and,
    "or": _or,
    "perm": _perm,
    "perm-modify": _perm_modify,
    "userid-param": _userid_param,
    "userid-group": _userid_group,
}
