"""`/access/users`: users and their API tokens. (PVE::API2::User)"""

from __future__ import annotations

from typing import Any

from pvesim.api.access import split_list, user_config
from pvesim.api.method import ApiError, Call, method, param_error
from pvesim.cluster import tickets
from pvesim.cluster.state import Token, User

DETAILS = ("firstname", "lastname", "email", "comment", "keys")


@method("GET", "/access/users")
def index(call: Call) -> object:
    cluster = call.cluster
    privs = ("User.Modify", "Sys.Audit")
    everyone = call.allowed("/access/groups", *privs, any=True)
    mine = {name for name in cluster.groups if call.allowed(f"/access/groups/{name}", *privs, any=True)}
    seen = {userid for name in mine for userid in cluster.groups[name].users}
    rows = []
    for userid, user in sorted(cluster.users.items()):
        if not (everyone or userid == call.auth.name or userid in seen):
            continue
        if call.params.get("enabled") is not None and call.params["enabled"] != user.enable:
            continue
        row = _shown(user) | {"userid": userid}
        realm = cluster.realms.get(userid.rpartition("@")[2])
        if realm:
            row["realm-type"] = realm.type
        if call.params.get("full"):
            row["groups"] = ",".join(_groups(call, userid))
            if user.tokens:
                row["tokens"] = [_token_row(token) | {"tokenid": name} for name, token in sorted(user.tokens.items())]
        rows.append(row)
    return rows


@method("POST", "/access/users")
async def create(call: Call) -> object:
    params, cluster = call.params, call.cluster
    userid = str(params["userid"])
    async with user_config(call, "create user failed"):
        if userid in cluster.users:
            raise ApiError(500, f"user '{userid}' already exists")
        realm = userid.rpartition("@")[2]
        password = ""
        if params.get("password") is not None:
            if realm not in cluster.realms:
                raise ApiError(500, f"auth domain '{realm}' does not exist")
            password = tickets.hash_password(str(params["password"]))
        groups = _known_groups(call)
        user = User(userid, bool(params.get("enable", True)), int(params.get("expire") or 0), password)
        user.details = {key: str(params[key]) for key in DETAILS if params.get(key)}
        cluster.users[userid] = user
        for group in groups:
            cluster.groups[group].users.add(userid)
    return None


@method("GET", "/access/users/{userid}")
def read(call: Call) -> object:
    user = _user(call)
    tokens = {name: _token_row(token) for name, token in user.tokens.items()} or None
    return _shown(user) | {"groups": _groups(call, user.userid), "tokens": tokens}


@method("PUT", "/access/users/{userid}")
async def update(call: Call) -> object:
    params, cluster = call.params, call.cluster
    async with user_config(call, "update user failed"):
        user = _user(call)
        groups = _known_groups(call)
        user.enable = bool(params.get("enable", user.enable))
        user.expire = int(params["expire"]) if params.get("expire") is not None else user.expire
        if "groups" in params and not params.get("append"):
            for group in cluster.groups.values():
                group.users.discard(user.userid)
        for name in groups:
            cluster.groups[name].users.add(user.userid)
        user.details |= {key: str(params[key]) for key in DETAILS if params.get(key) is not None}
        for key in DETAILS:
            if key in params and not params[key]:
                user.details.pop(key, None)
    return None


@method("DELETE", "/access/users/{userid}")
async def delete(call: Call) -> object:
    cluster = call.cluster
    async with user_config(call, "delete user failed"):
        gone = _user(call)
        userid = gone.userid
        del cluster.users[userid]
        if userid == "root@pam":  # is there whatever the file says (PVE::AccessControl, userconfig_force_defaults)
            cluster.users[userid] = User(userid, password=gone.password)
        for group in cluster.groups.values():
            group.users.discard(userid)
        cluster.acl = {
            entry for entry in cluster.acl if entry.ugid.partition("!")[0] != userid or entry.type == "group"
        }
    return None


@method("GET", "/access/users/{userid}/token")
def list_tokens(call: Call) -> object:
    return [_token_row(token) | {"tokenid": name} for name, token in _user(call).tokens.items()]


@method("GET", "/access/users/{userid}/token/{tokenid}")
def read_token(call: Call) -> object:
    return _token_row(_token(call))


@method("POST", "/access/users/{userid}/token/{tokenid}")
async def create_token(call: Call) -> object:
    params, tokenid = call.params, str(call.params["tokenid"])
    user = _user(call)
    if tokenid in user.tokens:
        raise param_error(tokenid="Token already exists.")
    async with user_config(call, "generating token failed"):
        expire = int(params.get("expire") or 0)
        privsep = bool(params.get("privsep", True))
        token = Token(tokenid, tickets.new_secret(), privsep, expire, str(params.get("comment") or ""))
        user.tokens[tokenid] = token
    info: dict[str, Any] = {"privsep": str(int(privsep)) if "privsep" in params else 1}
    info |= {key: str(params[key]) for key in ("expire", "comment") if params.get(key) is not None}
    return {"info": info, "value": token.value, "full-tokenid": f"{user.userid}!{tokenid}"}


@method("PUT", "/access/users/{userid}/token/{tokenid}")
async def update_token(call: Call) -> object:
    params, token = call.params, _token(call)
    async with user_config(call, "updating token info failed"):
        token.privsep = bool(params.get("privsep", token.privsep))
        token.expire = int(params["expire"]) if params.get("expire") is not None else token.expire
        token.comment = str(params.get("comment") or token.comment)
        for key in split_list(params.get("delete")):
            if key == "comment":
                token.comment = ""
            elif key == "expire":
                token.expire = 0
    given = {key: str(int(params[key])) for key in ("privsep", "expire") if params.get(key) is not None}
    return _token_row(token) | given


@method("DELETE", "/access/users/{userid}/token/{tokenid}")
async def delete_token(call: Call) -> object:
    user, token = _user(call), _token(call)
    async with user_config(call, "deleting token failed"):
        del user.tokens[token.tokenid]
        full = f"{user.userid}!{token.tokenid}"
        call.cluster.acl = {e for e in call.cluster.acl if (e.type, e.ugid) != ("token", full)}
    return None


def _user(call: Call) -> User:
    userid = str(call.params["userid"])
    if userid not in call.cluster.users:
        raise ApiError(500, f"no such user ('{userid}')")
    return call.cluster.users[userid]


def _token(call: Call) -> Token:
    user, tokenid = _user(call), str(call.params["tokenid"])
    if tokenid not in user.tokens:
        raise ApiError(500, f"no such token '{tokenid}' for user '{user.userid}'")
    return user.tokens[tokenid]


def _token_row(token: Token) -> dict[str, Any]:
    row: dict[str, Any] = {"privsep": int(token.privsep), "expire": token.expire}
    return row | ({"comment": token.comment} if token.comment else {})


def _shown(user: User) -> dict[str, Any]:
    shown = {"enable": int(user.enable), "expire": user.expire, **user.details}
    if "email" not in shown and {"comment", "keys"} & shown.keys():
        shown["email"] = ""  # its field of user.cfg is there once a later one is
    return shown


def _groups(call: Call, userid: str) -> list[str]:
    return sorted(name for name, group in call.cluster.groups.items() if userid in group.users)


def _known_groups(call: Call) -> list[str]:
    groups = split_list(call.params.get("groups"))
    for group in groups:
        if group not in call.cluster.groups:
            raise ApiError(500, f"no such group '{group}'")
    return groups
