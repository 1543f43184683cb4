"""What a method's declaration says about rights, with every form that such a declaration can have."""

from __future__ import annotations

import pytest

from tests.pvesim.running import Sim

ALICE = "alice@pve!nosep"


def grant(sim: Sim, path: str, role: str) -> None:
    assert sim.call("PUT", "/access/acl", {"path": path, "roles": role, "users": "alice@pve"}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "params", "message"),
    [
        ("GET", "/access/users/alice@pve/token", None, "Permission check failed"),
        ("GET", "/access/users/alice@pve", None, "Permission check failed"),
        ("POST", "/access/users", {"userid": "bob@pve"},
         "Permission check failed (/access/realm/pve, Realm.AllocateUser)"),
        ("PUT", "/access/users/alice@pve", {"comment": "x"}, "Permission check failed (/access/groups, User.Modify)"),
        ("PUT", "/access/acl", {"path": "/vms/101", "roles": "PVEAdmin", "users": "alice@pve"},
         "Permission check failed (/vms/101, Permissions.Modify|VM.Allocate)"),
        ("POST", "/access/roles", {"roleid": "x"}, "Permission check failed (/access, Sys.Modify)"),
        ("GET", "/access/permissions", {"userid": "root@pam"}, "Permission check failed (/access, Sys.Audit)"),
        ("GET", "/nodes/pve/status", None, "Permission check failed (/nodes/pve, Sys.Audit)"),
        ("POST", "/nodes/pve/status", {"command": "reboot"}, "Permission check failed (/nodes/pve, Sys.PowerMgmt)"),
    ],
)  # fmt: skip
def test_who_may_not_is_told_why(sim: Sim, method: str, path: str, params: dict[str, str] | None, message: str) -> None:
    reply = sim.call(method, path, params, token=ALICE)
    assert (reply.status, reply.message) == (403, message)


def test_an_unknown_or_impossible_user(sim: Sim) -> None:
    assert sim.call("GET", "/access/users/nobody@pve").message == "no such user ('nobody@pve')"
    assert sim.call("GET", "/access/users/nobody").message == "value 'nobody' does not look like a valid user name"
    hidden = sim.call("GET", "/access/users/nobody@pve/token")
    assert (hidden.status, hidden.message) == (403, "Permission check failed")


def test_an_administrator_of_one_group_manages_its_members_only(sim: Sim) -> None:
    for group in ("mine", "other"):
        sim.call("POST", "/access/groups", {"groupid": group})
    sim.call("POST", "/access/users", {"userid": "in@pve", "groups": "mine"})
    sim.call("POST", "/access/users", {"userid": "out@pve", "groups": "other"})
    grant(sim, "/access/groups/mine", "PVEUserAdmin")
    grant(sim, "/access/realm/pve", "PVEUserAdmin")
    new = {"userid": "new@pve", "groups": "mine"}
    assert sim.call("POST", "/access/users", new, token=ALICE).status == 200
    refused = sim.call("POST", "/access/users", {"userid": "x@pve", "groups": "mine,other"}, token=ALICE)
    assert refused.message == "Permission check failed (/access/groups/other, User.Modify)"
    assert sim.call("DELETE", "/access/users/in@pve", token=ALICE).status == 200
    assert sim.call("DELETE", "/access/users/out@pve", token=ALICE).message == "Permission check failed"
    seen = {row["userid"] for row in sim.call("GET", "/access/users", token=ALICE).data}
    assert seen == {"new@pve"}


def test_a_ticket_of_root_may_everything(sim: Sim) -> None:
    login = sim.call("POST", "/access/ticket", {"username": "root@pam", "password": "rootpass1"}, token=None).data
    headers = {"Cookie": f"PVEAuthCookie={login['ticket']}", "CSRFPreventionToken": login["CSRFPreventionToken"]}
    assert sim.call("GET", "/access/users/root@pam/token", token=None, headers=headers).status == 200
    password = {"userid": "alice@pve", "password": "anewpassword"}
    assert sim.call("PUT", "/access/password", password, token=None, headers=headers).status == 200
    again = {"username": "alice@pve", "password": "anewpassword"}
    assert sim.call("POST", "/access/ticket", again, token=None).status == 200
