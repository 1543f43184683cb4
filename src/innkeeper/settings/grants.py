"""Which privilege covers what, and the `pveum` line that grants a missing one. Pure.

Source of the rules: PVE::AccessControl (roles on a deeper path replace those inherited from above),
PVE::RPCEnvironment (a token that is privilege-separated has never more than its user).
"""

import shlex
from collections.abc import Iterable, Mapping

Permissions = Mapping[str, frozenset[str]]
"""Path → privileges, as `GET /access/permissions` lists them."""

GUEST = frozenset(
    {
        "VM.Allocate",
        "VM.Audit",
        "VM.Clone",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Cloudinit",
        "VM.Config.Disk",
        "VM.Config.HWType",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.PowerMgmt",
    }
)
_USUAL: Mapping[str, frozenset[str]] = {
    "vms": GUEST,
    "pool": GUEST | {"Pool.Allocate", "Pool.Audit"},
    "storage": frozenset({"Datastore.AllocateSpace", "Datastore.Audit"}),
    "sdn": frozenset({"SDN.Use"}),
    "nodes": frozenset({"Sys.Audit"}),
    "": frozenset({"Sys.Audit"}),
}
"""What Innkeeper uses on each branch of the tree: a role for a branch holds it whole, because a role on a deeper path
replaces what is inherited from above."""


def head(path: str) -> str:
    """The branch that a path is on: `vms` of `/vms/101`, empty for `/`."""
    return path.strip("/").partition("/")[0]


def allowed(permissions: Permissions, path: str) -> frozenset[str]:
    """The privileges on a path that may not be listed itself: those of its nearest listed parent."""
    while path not in permissions and path != "/":
        path = path.rpartition("/")[0] or "/"
    return permissions.get(path, frozenset())


def grant(path: str, privileges: Iterable[str], user: str) -> str:
    """One line for a root shell of any node that gives `user` (or a token and its user) these privileges.

    A single guest or storage is granted with its whole branch's usual set, at its own path.
    """
    branch = head(path)
    names = sorted({*privileges, *_USUAL.get(branch, frozenset())})
    role = f"Innkeeper{branch.capitalize()}"
    if set(names) - _USUAL.get(branch, frozenset()):
        role += "Plus"
    privs = shlex.quote(",".join(names))
    owner, mark, _ = user.partition("!")
    whom = f"--users {shlex.quote(owner)}"
    if mark:
        tokens = f"--tokens {shlex.quote(user)}"
        whom = tokens if owner == "root@pam" else f"{tokens} {whom}"
    return (
        f"pveum role add {role} --privs {privs} || pveum role modify {role} --append 1 --privs {privs}; "
        f"pveum acl modify {shlex.quote(path)} {whom} --roles {role}"
    )
