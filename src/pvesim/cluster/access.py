"""Who may do what: privileges that follow from the ACL, groups, pools and tokens.

The rules are those of PVE::AccessControl (roles) and PVE::RPCEnvironment (permissions, check): along a path the deepest
entry wins, a token's before its user's before a group's; NoAccess beats all; a pool gives its members the roles that
one has on the pool; a privilege-separated token has what both it and its user have; root@pam has everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvesim.cluster import roles
from pvesim.errors import ApiError

if TYPE_CHECKING:
    from pvesim.cluster.state import AclEntry, Cluster

Privs = dict[str, bool]  # privilege -> whether it propagates
TOP = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
CAPABILITIES = {
    "vms": r"VM\.|Permissions\.Modify",
    "access": r"(User|Group)\.|Permissions\.Modify",
    "storage": r"Datastore\.|Permissions\.Modify",
    "nodes": r"Sys\.|Permissions\.Modify",
    "sdn": r"SDN\.|Permissions\.Modify",
    "dc": r"Sys\.Audit|Sys\.Modify|SDN\.",
    "mapping": r"Mapping\.|Permissions\.Modify",
}
_NAME = r"[A-Za-z0-9.\-_]+"
_PATH = re.compile(
    rf"/|/access(/(groups|realm)(/{_NAME})?)?|/nodes(/{_NAME})?|/pool(/{_NAME}){{0,3}}|/storage(/{_NAME})?"
    rf"|/sdn(/zones(/{_NAME}(/{_NAME}(/[1-9][0-9]{{0,3}})?)?)?)?|/sdn/(controllers|dns|ipams|fabrics)(/{_NAME})?"
    rf"|/vms(/[1-9][0-9]{{2,}})?|/mapping(/{_NAME}){{0,2}}"
)


@dataclass(frozen=True)
class Auth:
    """The caller: `userid` such as `root@pam`, `tokenid` the part after the `!` or None for a ticket."""

    userid: str
    tokenid: str | None = None

    @property
    def name(self) -> str:
        return f"{self.userid}!{self.tokenid}" if self.tokenid else self.userid

    @property
    def is_root(self) -> bool:
        """root@pam by ticket; a token of root@pam is not root@pam."""
        return self.name == "root@pam"


class Rights:
    """What one caller may do, worked out once for each path."""

    def __init__(self, cluster: Cluster, auth: Auth) -> None:
        self._cluster = cluster
        self._auth = auth
        self._known: dict[str, Privs] = {}
        self._roles = roles.built_in(cluster.major) | cluster.roles
        self._all = dict.fromkeys(roles.privileges(cluster.major), True)
        user = cluster.users.get(auth.userid)
        token = user.tokens.get(auth.tokenid) if user and auth.tokenid else None
        self._separate = bool(token and token.privsep)
        self._nothing = bool(auth.tokenid and not token)
        self._everything = auth.userid == "root@pam" and not self._separate and not self._nothing
        self._acl: dict[str, list[AclEntry]] = {}
        if not self._everything:
            for entry in cluster.acl:
                self._acl.setdefault(entry.path, []).append(entry)
        self._groups = {group.groupid for group in cluster.groups.values() if auth.userid in group.users}

    def at(self, path: str) -> Privs:
        """The privileges at `path`."""
        if self._everything:
            return self._all
        if self._nothing:
            return {}
        if path not in self._known:
            privs = self._privs(path, self._auth.userid, self._groups)
            if self._separate:
                own = self._privs(path, self._auth.name, set())
                if self._auth.userid == "root@pam":
                    privs = own
                else:
                    privs = {priv: privs[priv] and flag for priv, flag in own.items() if priv in privs}
            self._known[path] = privs
        return self._known[path]

    def has(self, path: str, privs: Iterable[str], *, any_of: bool = False) -> bool:
        mine = self.at(path)
        return (any if any_of else all)(priv in mine for priv in privs)

    def everywhere(self) -> dict[str, Privs]:
        """By path, wherever the caller has anything (PVE::RPCEnvironment, get_effective_permissions)."""
        paths = {*TOP, *_parents(entry.path for entry in self._cluster.acl)}
        for pool in self._cluster.pools.values():
            paths |= {f"/vms/{vmid}" for vmid in pool.vms} | {f"/storage/{storage}" for storage in pool.storage}
        return {path: privs for path in sorted(paths) if (privs := self.at(path))}

    def capabilities(self) -> dict[str, dict[str, int]]:
        """What a ticket's answer says under `cap` (PVE::RPCEnvironment, compute_api_permission)."""
        found: dict[str, dict[str, int]] = {name: {} for name in CAPABILITIES}
        paths = {"/", "/nodes", "/access/groups", "/vms", "/storage", "/sdn", "/mapping"}
        for path in paths | set(_parents(entry.path for entry in self._cluster.acl)):
            top = path.split("/")[1] or "dc"
            for name in ("vms", "storage") if top == "pool" else (top,):
                pattern = CAPABILITIES.get(name, "(?!)")
                found.get(name, {}).update({priv: 1 for priv in self.at(path) if re.match(pattern, priv)})
        return found

    def _privs(self, path: str, who: str, groups: set[str]) -> Privs:
        if who == "root@pam":
            return self._all
        mine = self._roles_at(path, who, groups)
        inherited = self._pool_roles(path, who, groups)
        if "NoAccess" not in mine:
            mine = {"NoAccess": False} if "NoAccess" in inherited else dict.fromkeys(inherited, False) | mine
        privs: Privs = {}
        for role, propagate in mine.items():
            for priv in self._roles.get(role, ()):
                privs[priv] = privs.get(priv, False) or propagate
        return privs

    def _roles_at(self, path: str, who: str, groups: set[str]) -> Privs:
        mine: Privs = {}
        for here in _parents([path]):
            entries = [entry for entry in self._acl.get(here, ()) if entry.propagate or here == path]
            for mark in ("named", "group"):
                new = {
                    entry.roleid: entry.propagate
                    for entry in entries
                    if (entry.type == "group") == (mark == "group")
                    and (entry.ugid in groups if mark == "group" else entry.ugid == who)
                }
                if new:
                    mine = new
                    break
        return {"NoAccess": mine["NoAccess"]} if "NoAccess" in mine else mine

    def _pool_roles(self, path: str, who: str, groups: set[str]) -> set[str]:
        kind, _, name = path[1:].partition("/")
        if kind not in {"vms", "storage"} or not name:
            return set()
        found: set[str] = set()
        for pool in self._cluster.pools.values():
            if name in pool.storage if kind == "storage" else name.isdigit() and int(name) in pool.vms:
                found |= self._roles_at(f"/pool/{pool.poolid}", who, groups).keys()
        return found


def allowed(cluster: Cluster, auth: Auth, path: str, privs: Iterable[str], *, any_of: bool = False) -> bool:
    return Rights(cluster, auth).has(path, privs, any_of=any_of)


def check(cluster: Cluster, auth: Auth, path: str, privs: Iterable[str], *, any_of: bool = False) -> None:
    """ApiError 403 as Proxmox words it."""
    check_rights(Rights(cluster, auth), path, tuple(privs), any_of=any_of)


def check_rights(rights: Rights, path: str, privs: tuple[str, ...], *, any_of: bool = False) -> None:
    """ApiError 403: names the first privilege that is missing, or all of those of which one would do."""
    mine = rights.at(path)
    if any_of:
        if not any(priv in mine for priv in privs):
            raise denied(f"{path}, {'|'.join(privs)}")
    else:
        for priv in privs:
            if priv not in mine:
                raise denied(f"{path}, {priv}")


def denied(what: str = "") -> ApiError:
    """403 with what was missing."""
    return ApiError(403, f"Permission check failed ({what})" if what else "Permission check failed")


def modify_privs(path: str) -> tuple[str, ...]:
    """One of these allows to change the ACL at `path` (PVE::RPCEnvironment, check_perm_modify)."""
    own = {"storage": "Datastore.Allocate", "vms": "VM.Allocate", "pool": "Pool.Allocate"}
    kind, _, name = path[1:].partition("/")
    return ("Permissions.Modify", own[kind]) if name and kind in own else ("Permissions.Modify",)


def normalize_path(path: str) -> str | None:
    """One leading slash, no trailing or doubled ones; None where a character is not allowed."""
    found = "/" + "/".join(filter(None, path.split("/")))
    return found if re.fullmatch(r"[A-Za-z0-9.\-_/]+", found) and path else None


def valid_path(path: str) -> bool:
    """Whether an ACL may name it (PVE::AccessControl, check_path)."""
    return _PATH.fullmatch(path) is not None


def _parents(paths: Iterable[str]) -> Iterator[str]:
    """Each path's ancestors and itself, from `/` down."""
    for path in paths:
        yield "/"
        at = ""
        for part in filter(None, path.split("/")):
            at += f"/{part}"
            yield at
