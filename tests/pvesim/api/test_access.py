"""Users, tokens, tickets, roles, groups and the ACL, seen from outside."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pvesim.conftest import Start
from tests.pvesim.running import ONE_NODE, Sim

GUESTS = [{"vmid": vmid, "config": {"hostname": f"ct{vmid}"}} for vmid in (101, 102)]


@pytest.fixture
def sim(start: Start) -> Sim:
    return start(ONE_NODE | {"guests": GUESTS})


def grant(sim: Sim, path: str, role: str, who: str = "alice@pve", **more: Any) -> None:
    kind = "groups" if who.startswith("@") else "tokens" if "!" in who else "users"
    assert (
        sim.call("PUT", "/access/acl", {"path": path, "roles": role, kind: who.removeprefix("@"), **more}).status == 200
    )


def privs(sim: Sim, path: str, who: str = "alice@pve!nosep") -> set[str]:
    return set(sim.call("GET", "/access/permissions", {"path": path}, token=who).data[path])


def test_a_ticket_logs_in_and_needs_a_csrf_token_to_write(sim: Sim) -> None:
    grant(sim, "/pool", "PVEPoolAdmin")
    got = sim.call("POST", "/access/ticket", {"username": "alice@pve", "password": "alicepass1"}, token=None).data
    cookie = {"Cookie": f"PVEAuthCookie={got['ticket']}"}
    assert sim.call("GET", "/pools", token=None, headers=cookie).data == []
    refused = sim.call("POST", "/pools", {"poolid": "x"}, token=None, headers=cookie)
    assert (refused.status, refused.reason) == (401, "Permission denied - invalid csrf token")
    allowed = cookie | {"CSRFPreventionToken": got["CSRFPreventionToken"]}
    assert sim.call("POST", "/pools", {"poolid": "x"}, token=None, headers=allowed).status == 200
    renewed = sim.call("POST", "/access/ticket", {"username": "alice@pve", "password": got["ticket"]}, token=None)
    assert renewed.data["username"] == "alice@pve"


def test_a_wrong_password_says_nothing(sim: Sim) -> None:
    for user in ("alice@pve", "nobody@pve"):
        reply = sim.call("POST", "/access/ticket", {"username": user, "password": "wrong"}, token=None)
        assert (reply.status, reply.body) == (401, {"data": None, "message": "authentication failure\n"})


def test_a_disabled_or_expired_user_or_token_is_refused(sim: Sim) -> None:
    sim.call("PUT", "/access/users/alice@pve/token/nosep", {"expire": 1})
    assert sim.call("GET", "/version", token="alice@pve!nosep").status == 401
    assert sim.call("GET", "/version", token="alice@pve!sep").status == 200
    sim.call("PUT", "/access/users/alice@pve", {"enable": 0})
    assert sim.call("GET", "/version", token="alice@pve!sep").reason == "Authentication failed!"


def test_rights_spread_downwards_unless_told_otherwise(sim: Sim) -> None:
    grant(sim, "/vms", "PVEVMUser")
    assert "VM.Audit" in privs(sim, "/vms/101")
    grant(sim, "/vms", "PVEVMUser", propagate=0)
    assert privs(sim, "/vms/101") == set()
    assert "VM.Audit" in privs(sim, "/vms")


def test_the_deepest_entry_wins_and_no_access_beats_all(sim: Sim) -> None:
    grant(sim, "/", "Administrator")
    grant(sim, "/vms/101", "PVETemplateUser")
    grant(sim, "/vms/102", "NoAccess")
    assert privs(sim, "/vms/101") == {"VM.Audit", "VM.Clone"}
    assert privs(sim, "/vms/102") == set()
    assert "Sys.Modify" in privs(sim, "/nodes/pve")


def test_a_user_s_own_entry_beats_its_group_s(sim: Sim) -> None:
    sim.call("POST", "/access/groups", {"groupid": "ops"})
    sim.call("PUT", "/access/users/alice@pve", {"groups": "ops"})
    grant(sim, "/vms", "PVEVMAdmin", "@ops")
    assert "VM.Allocate" in privs(sim, "/vms/101")
    grant(sim, "/vms", "PVEAuditor")
    assert "VM.Allocate" not in privs(sim, "/vms/101")


def test_a_pool_gives_its_members_the_rights_on_itself(sim: Sim) -> None:
    sim.call("POST", "/pools", {"poolid": "apps"})
    grant(sim, "/pool/apps", "PVEVMUser")
    sim.call("PUT", "/pools/apps", {"vms": "101"})
    assert "VM.Audit" in privs(sim, "/vms/101")
    assert privs(sim, "/vms/102") == set()
    rows = sim.call("GET", "/cluster/resources", {"type": "vm"}, token="alice@pve!nosep").data
    assert [(row["vmid"], row["pool"]) for row in rows] == [(101, "apps")]


def test_a_separated_token_has_what_both_it_and_its_user_have(sim: Sim) -> None:
    grant(sim, "/", "Administrator")
    assert privs(sim, "/vms/101", "alice@pve!sep") == set()
    assert sim.call("GET", "/cluster/resources", {"type": "vm"}, token="alice@pve!sep").data == []
    assert sim.call("GET", "/nodes/pve/lxc/101/config", token="alice@pve!sep").status == 403
    grant(sim, "/vms", "PVEVMUser", "alice@pve!sep")
    assert "VM.PowerMgmt" in privs(sim, "/vms/101", "alice@pve!sep")
    grant(sim, "/", "Administrator", delete=1)
    grant(sim, "/", "PVEAuditor")
    assert privs(sim, "/vms/101", "alice@pve!sep") == {"VM.Audit", "VM.GuestAgent.Audit"}


def test_a_token_of_root_is_not_root(sim: Sim) -> None:
    assert sim.call("GET", "/access/permissions").data["/vms"]["VM.Allocate"] == 1
    sim.call("POST", "/access/users/root@pam/token/bare", {"privsep": 1})
    assert sim.call("PUT", "/access/acl", {"path": "/", "roles": "Nosuch", "users": "alice@pve"}).message == (
        "ACL update failed: role 'Nosuch' does not exist"
    )
    assert sim.call("PUT", "/access/acl", {"path": "/nonsense", "roles": "PVEAdmin", "users": "alice@pve"}).errors == {
        "path": "invalid ACL path '/nonsense'"
    }


def test_tokens_are_made_changed_and_removed(sim: Sim) -> None:
    path = "/access/users/alice@pve/token/ci"
    made = sim.call("POST", path, {"comment": "for CI"}).data
    assert (made["full-tokenid"], made["info"]) == ("alice@pve!ci", {"privsep": 1, "comment": "for CI"})
    sim.tokens["alice@pve!ci"] = made["value"]
    assert sim.call("GET", "/version", token="alice@pve!ci").status == 200
    assert sim.call("POST", path).errors == {"tokenid": "Token already exists."}
    grant(sim, "/vms", "PVEVMUser", "alice@pve!ci")
    assert sim.call("DELETE", path).data is None
    assert sim.call("GET", path).message == "no such token 'ci' for user 'alice@pve'"
    assert sim.call("GET", "/access/acl").data == []
    assert sim.call("GET", "/version", token="alice@pve!ci").reason == "Authentication failed!"


def test_users_and_roles_say_what_is_wrong_with_them(sim: Sim) -> None:
    assert sim.call("POST", "/access/users", {"userid": "alice@pve"}).message == (
        "create user failed: user 'alice@pve' already exists"
    )
    assert sim.call("GET", "/access/users/bob@pve").message == "no such user ('bob@pve')"
    assert sim.call("POST", "/access/roles", {"roleid": "PVEmine"}).errors.keys() == {"roleid"}
    assert sim.call("PUT", "/access/roles/PVEAdmin", {"privs": "VM.Audit"}).message == (
        "auto-generated role 'PVEAdmin' cannot be modified"
    )
    sim.call("POST", "/access/roles", {"roleid": "Op", "privs": "VM.Audit"})
    sim.call("PUT", "/access/roles/Op", {"privs": "VM.PowerMgmt", "append": 1})
    assert sim.call("GET", "/access/roles/Op").data == {"VM.Audit": 1, "VM.PowerMgmt": 1}


def test_a_deleted_user_takes_everything_along(sim: Sim) -> None:
    sim.call("POST", "/access/groups", {"groupid": "ops"})
    sim.call("POST", "/access/users", {"userid": "bob@pve", "password": "bobspassword", "groups": "ops"})
    grant(sim, "/vms", "PVEVMUser", "bob@pve")
    assert sim.call("DELETE", "/access/users/bob@pve").data is None
    assert sim.call("GET", "/access/groups/ops").data == {"members": []}
    assert sim.call("GET", "/access/acl").data == []


def test_root_is_always_there_but_its_tokens_go_with_it(sim: Sim) -> None:
    assert sim.call("DELETE", "/access/users/root@pam").data is None
    assert sim.call("GET", "/version").reason == "Authentication failed!"
    login = {"username": "root@pam", "password": "rootpass1"}
    assert sim.call("POST", "/access/ticket", login, token=None).data["username"] == "root@pam"


def test_a_deleted_role_is_nobodys(sim: Sim) -> None:
    sim.call("POST", "/access/roles", {"roleid": "Op", "privs": "VM.Audit"})
    grant(sim, "/vms", "Op")
    assert sim.call("DELETE", "/access/roles/Op").data is None
    assert sim.call("GET", "/access/acl").data == []
    sim.call("POST", "/access/roles", {"roleid": "Op", "privs": "VM.Audit"})
    assert sim.call("GET", "/access/acl").data == []


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [("9.1.9", "VM.GuestAgent.Audit", "VM.Monitor"), ("8.4.1", "VM.Monitor", "VM.Replicate")],
)
def test_privileges_are_those_of_the_version(start: Start, version: str, has: str, lacks: str) -> None:
    admin = start(ONE_NODE | {"version": version}).call("GET", "/access/roles/Administrator").data
    assert has in admin
    assert lacks not in admin


def test_who_may_only_manage_a_guest_hands_out_what_it_has_and_no_more(sim: Sim) -> None:
    sim.call("POST", "/access/roles", {"roleid": "Owner", "privs": "VM.Allocate,VM.Audit"})
    sim.call("POST", "/access/users", {"userid": "bob@pve"})
    grant(sim, "/vms/101", "Owner", propagate=0)

    def give(role: str, **more: Any) -> str:
        params = {"path": "/vms/101", "roles": role, "users": "bob@pve", **more}
        return sim.call("PUT", "/access/acl", params, token="alice@pve!nosep").message

    refused = "ACL update failed: 400 Parameter verification failed.\nrole: Cannot add role"
    assert give("PVEAdmin") == f"{refused} 'PVEAdmin' - requires 'Permissions.Modify' or superset of privileges."
    assert give("Owner").startswith(f"{refused} 'Owner' with propagation - requires")
    assert give("NoAccess", propagate=0) == f"{refused} 'NoAccess' - requires 'Permissions.Modify'"
    assert give("Owner", propagate=0) == ""
    assert give("Owner", delete=1) == ""


def test_permissions_of_others(sim: Sim) -> None:
    assert sim.call("GET", "/access/permissions", {"userid": "nobody@pve", "path": "/vms"}).data == {"/vms": {}}
    assert sim.call("GET", "/access/permissions", {"userid": "alice@pve!nosuch"}).data == {}
    grant(sim, "/vms/101", "PVEVMUser")
    assert set(sim.call("GET", "/access/permissions", {"userid": "alice@pve"}).data) == {"/vms/101"}
