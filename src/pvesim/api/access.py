"""`/access`: logging in, permissions, the ACL, roles, groups, realms. (PVE::API2::AccessControl, ACL, Role, Group)"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pvesim.api.method import ApiError, Call, method, param_error
from pvesim.cluster import access, roles, tickets
from pvesim.cluster.access import Auth, Rights, denied
from pvesim.cluster.state import AclEntry, Group, Realm

SUBDIRS = ("users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password")


@asynccontextmanager
async def user_config(call: Call, failed: str) -> AsyncIterator[None]:
    """Hold the lock of user.cfg; what goes wrong inside is 500 and begins with `failed` (lock_user_config).

    An exception with a status of its own becomes text, its status included (PVE::Exception, stringify).
    """
    try:
        async with call.cluster.locks.cfs("file-user_cfg"):
            yield
    except ApiError as error:
        text = error.message if error.status == 500 else f"{error.status} {error.message}"
        details = "".join(f"\n{name}: {what}" for name, what in (error.errors or {}).items())
        raise ApiError(500, f"{failed}: {text}{details}") from None


def split_list(text: object) -> list[str]:
    """A list as Proxmox takes it: separated by commas, semicolons, blanks or NULs."""
    return [part for part in re.split(r"[,;\s\0]+", str(text or "")) if part]


@method("GET", "/access")
def index(call: Call) -> object:
    return [{"subdir": name} for name in SUBDIRS]


@method("GET", "/access/ticket")
def get_ticket(call: Call) -> object:
    return None


@method("POST", "/access/ticket")
def create_ticket(call: Call) -> object:
    params, cluster = call.params, call.cluster
    userid = str(params["username"])
    if params.get("realm"):
        userid += f"@{params['realm']}"
    if not tickets.login(cluster, userid, str(params["password"])):
        raise ApiError(401, "authentication failure")
    rights = Rights(cluster, Auth(userid))
    if params.get("path"):
        path = access.normalize_path(str(params["path"]))
        privs = split_list(params.get("privs"))
        if not (path and privs and rights.has(path, privs)):
            raise ApiError(401, "authentication failure")
        return {"username": userid, "cap": rights.capabilities()}
    ticket, csrf = tickets.make_ticket(cluster, userid)
    answer = {"username": userid, "ticket": ticket, "CSRFPreventionToken": csrf, "cap": rights.capabilities()}
    if cluster.name and rights.has("/", ["Sys.Audit"]):
        answer["clustername"] = cluster.name
    return answer


@method("PUT", "/access/password")
def change_password(call: Call) -> object:
    userid = str(call.params["userid"])
    user = call.cluster.users.get(userid)
    if user is None:
        raise ApiError(500, f"no such user ('{userid}')")
    if not call.auth.is_root:
        if userid == "root@pam":
            raise denied()
        given = call.params.get("confirmation-password")
        if given is None:
            raise param_error(confirmation_password="password is required to modify user")  # noqa: S106
        if not tickets.password_fits(call.cluster.users[call.auth.userid], str(given)):
            raise ApiError(401, "authentication failure")
        if userid != call.auth.userid and userid.endswith("@pam"):
            raise denied()
    user.password = tickets.hash_password(str(call.params["password"]))
    return None


@method("GET", "/access/permissions")
def permissions(call: Call) -> object:
    wanted = call.params.get("userid")
    rights = call.rights
    if wanted and wanted != call.auth.name:
        userid, _, tokenid = str(wanted).partition("!")
        if not (tokenid and userid == call.auth.name):
            call.check("/access", "Sys.Audit")
        rights = Rights(call.cluster, Auth(userid, tokenid or None))
    path = call.params.get("path")
    found = {str(path): rights.at(str(path))} if path else rights.everywhere()
    return {where: {priv: int(flag) for priv, flag in privs.items()} for where, privs in found.items()}


@method("GET", "/access/acl")
def read_acl(call: Call) -> object:
    audit = call.allowed("/access", "Sys.Audit")
    return [
        {"path": e.path, "type": e.type, "ugid": e.ugid, "roleid": e.roleid, "propagate": int(e.propagate)}
        for e in sorted(call.cluster.acl, key=lambda e: (e.path, e.type, e.ugid, e.roleid))
        if audit or call.allowed(e.path, *access.modify_privs(e.path), any=True)
    ]


@method("PUT", "/access/acl")
async def update_acl(call: Call) -> object:
    params, cluster = call.params, call.cluster
    kinds: list[tuple[str, Literal["user", "group", "token"]]]
    kinds = [("groups", "group"), ("users", "user"), ("tokens", "token")]
    if not any(params.get(name) for name, _ in kinds):
        text = "either 'users', 'groups' or 'tokens' is required."
        raise param_error(users=text, groups=text, tokens=text)
    path = access.normalize_path(str(params["path"]))
    if not path or not (params.get("delete") or access.valid_path(path)):
        raise param_error(path=f"invalid ACL path '{params['path']}'")
    async with user_config(call, "ACL update failed"):
        entries = set(cluster.acl)
        for role in split_list(params["roles"]):
            _may_hand_out(call, path, role)
            for name, kind in kinds:
                for ugid in split_list(params.get(name)):
                    _existing(call, kind, ugid)
                    entries = {e for e in entries if (e.path, e.type, e.ugid, e.roleid) != (path, kind, ugid, role)}
                    if not params.get("delete"):
                        entries.add(AclEntry(path, kind, ugid, role, bool(params.get("propagate", True))))
        cluster.acl = entries
    return None


def _may_hand_out(call: Call, path: str, role: str) -> None:
    """Without Permissions.Modify one gives and takes only roles of which one has all privileges."""
    known = roles.built_in(call.cluster.major) | call.cluster.roles
    if role not in known:
        raise ApiError(500, f"role '{role}' does not exist")
    mine = call.rights.at(path)
    if "Permissions.Modify" in mine:
        return
    removing = bool(call.params.get("delete"))
    refusal = f"Cannot {'remove' if removing else 'add'} role '{role}'"
    if not known[role] <= mine.keys():
        raise param_error(role=f"{refusal} - requires 'Permissions.Modify' or superset of privileges.")
    if call.params.get("propagate", True) and not removing and not all(mine[priv] for priv in known[role]):
        what = "'Permissions.Modify' or propagated superset of privileges."
        raise param_error(role=f"{refusal} with propagation - requires {what}")
    if role == "NoAccess":
        raise param_error(role=f"{refusal} - requires 'Permissions.Modify'")


def _existing(call: Call, kind: str, ugid: str) -> None:
    userid, _, tokenid = ugid.partition("!")
    if kind == "group":
        if ugid not in call.cluster.groups:
            raise ApiError(500, f"group '{ugid}' does not exist")
    elif userid not in call.cluster.users:
        raise ApiError(500, f"no such user ('{userid}')" if tokenid else f"user '{ugid}' does not exist")
    elif kind == "token" and tokenid not in call.cluster.users[userid].tokens:
        raise ApiError(500, f"no such token '{tokenid}' for user '{userid}'")


@method("GET", "/access/roles")
def list_roles(call: Call) -> object:
    special = roles.built_in(call.cluster.major)
    found = special | call.cluster.roles
    return [
        {"roleid": name, "privs": ",".join(sorted(privs)), "special": int(name in special)}
        for name, privs in found.items()
    ]


@method("POST", "/access/roles")
async def create_role(call: Call) -> object:
    role = str(call.params["roleid"])
    if role.upper().startswith("PVE"):
        raise param_error(roleid="cannot use role ID starting with the (case-insensitive) 'PVE' namespace")
    async with user_config(call, "create role failed"):
        if role in call.cluster.roles or role in roles.built_in(call.cluster.major):
            raise ApiError(500, f"role '{role}' already exists")
        call.cluster.roles[role] = _privs(call)
    return None


@method("GET", "/access/roles/{roleid}")
def read_role(call: Call) -> object:
    role = str(call.params["roleid"])
    found = roles.built_in(call.cluster.major) | call.cluster.roles
    if role not in found:
        raise ApiError(500, f"role '{role}' does not exist")
    return dict.fromkeys(sorted(found[role]), 1)


@method("PUT", "/access/roles/{roleid}")
async def update_role(call: Call) -> object:
    role = _own_role(call, "modified")
    async with user_config(call, "update role failed"):
        if role not in call.cluster.roles:
            raise ApiError(500, f"role '{role}' does not exist")
        kept = call.cluster.roles[role] if call.params.get("append") else frozenset()
        call.cluster.roles[role] = kept | _privs(call)
    return None


@method("DELETE", "/access/roles/{roleid}")
async def delete_role(call: Call) -> object:
    role = _own_role(call, "deleted")
    async with user_config(call, "delete role failed"):
        if role not in call.cluster.roles:
            raise ApiError(500, f"role '{role}' does not exist")
        del call.cluster.roles[role]
        call.cluster.acl = {entry for entry in call.cluster.acl if entry.roleid != role}  # not read without its role
    return None


def _own_role(call: Call, what: str) -> str:
    role = str(call.params["roleid"])
    if role in roles.built_in(call.cluster.major):
        raise ApiError(500, f"auto-generated role '{role}' cannot be {what}")
    return role


def _privs(call: Call) -> frozenset[str]:
    wanted = split_list(call.params.get("privs"))
    for priv in wanted:
        if priv not in roles.privileges(call.cluster.major):
            raise ApiError(500, f"invalid privilege '{priv}'")
    return frozenset(wanted)


@method("GET", "/access/groups")
def list_groups(call: Call) -> object:
    return [
        {"groupid": group.groupid, "users": ",".join(sorted(group.users))} | _comment(group.comment)
        for name, group in sorted(call.cluster.groups.items())
        if call.allowed(f"/access/groups/{name}", "User.Modify", "Sys.Audit", "Group.Allocate", any=True)
    ]


@method("POST", "/access/groups")
async def create_group(call: Call) -> object:
    name = str(call.params["groupid"])
    async with user_config(call, "create group failed"):
        if name in call.cluster.groups:
            raise ApiError(500, f"group '{name}' already exists")
        call.cluster.groups[name] = Group(name, str(call.params.get("comment") or ""))
    return None


@method("GET", "/access/groups/{groupid}")
def read_group(call: Call) -> object:
    group = _group(call)
    return {"members": sorted(group.users)} | _comment(group.comment)


@method("PUT", "/access/groups/{groupid}")
async def update_group(call: Call) -> object:
    async with user_config(call, "update group failed"):
        group = _group(call)
        if "comment" in call.params:
            group.comment = str(call.params["comment"] or "")
    return None


@method("DELETE", "/access/groups/{groupid}")
async def delete_group(call: Call) -> object:
    async with user_config(call, "delete group failed"):
        group = _group(call)
        del call.cluster.groups[group.groupid]
        call.cluster.acl = {e for e in call.cluster.acl if (e.type, e.ugid) != ("group", group.groupid)}
    return None


def _group(call: Call) -> Group:
    name = str(call.params["groupid"])
    if name not in call.cluster.groups:
        raise ApiError(500, f"group '{name}' does not exist")
    return call.cluster.groups[name]


def _comment(text: str) -> dict[str, str]:
    return {"comment": text} if text else {}


@method("GET", "/access/domains")
def list_realms(call: Call) -> object:
    shown = ("comment", "tfa", "default")
    return [
        {"realm": realm.realm, "type": realm.type} | {key: realm.options[key] for key in shown if key in realm.options}
        for _, realm in sorted(call.cluster.realms.items())
    ]


@method("GET", "/access/domains/{realm}")
def read_realm(call: Call) -> object:
    realm = _realm(call)
    return {"type": realm.type, "digest": _realms_digest(call)} | realm.options


@method("POST", "/access/domains")
async def create_realm(call: Call) -> object:
    name, kind = str(call.params["realm"]), str(call.params["type"])
    async with user_config(call, "add auth server failed"):
        if name in call.cluster.realms:
            raise ApiError(500, f"domain '{name}' already exists")
        if kind in {"pam", "pve"}:
            raise ApiError(500, f"unable to create builtin type '{kind}'")
        options = {key: value for key, value in call.params.items() if key not in {"realm", "type", "check-connection"}}
        call.cluster.realms[name] = Realm(name, kind, options)
    return None


@method("PUT", "/access/domains/{realm}")
async def update_realm(call: Call) -> object:
    async with user_config(call, "update auth server failed"):
        realm = _realm(call)
        if call.params.get("digest") not in (None, _realms_digest(call)):
            raise ApiError(500, "detected modified configuration - file changed by other user? Try again.")
        for key in split_list(call.params.get("delete")):
            realm.options.pop(key, None)
        kept = {"realm", "delete", "digest", "check-connection"}
        realm.options |= {key: value for key, value in call.params.items() if key not in kept}
    return None


@method("DELETE", "/access/domains/{realm}")
async def delete_realm(call: Call) -> object:
    async with user_config(call, "delete auth server failed"):
        realm = _realm(call)
        if realm.type in {"pam", "pve"}:
            raise ApiError(500, f"unable to delete realm of type '{realm.type}'")
        del call.cluster.realms[realm.realm]
    return None


def _realm(call: Call) -> Realm:
    name = str(call.params["realm"])
    if name not in call.cluster.realms:
        raise ApiError(500, f"domain '{name}' does not exist")
    return call.cluster.realms[name]


def _realms_digest(call: Call) -> str:
    text = json.dumps([[realm.realm, realm.type, realm.options] for realm in call.cluster.realms.values()])
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
