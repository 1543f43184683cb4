"""Privileges and built-in roles as Proxmox derives them (PVE::AccessControl, create_roles)."""

from __future__ import annotations

from functools import cache

# category -> privileges that only Administrator has, that its Admin role has, that its User role has, of an auditor
_GROUPS: dict[str, tuple[str, str, str, str]] = {
    "VM": (
        "",
        "Config.Disk Config.CPU Config.Memory Config.Network Config.HWType Config.Options Allocate Clone Migrate "
        "Snapshot Snapshot.Rollback",
        "Config.CDROM Config.Cloudinit Console Backup PowerMgmt",
        "Audit",
    ),
    "Sys": ("PowerMgmt Modify Incoming AccessNetwork", "Console Syslog", "", "Audit"),
    "Datastore": ("", "Allocate AllocateTemplate", "AllocateSpace", "Audit"),
    "SDN": ("", "Allocate", "Use", "Audit"),
    "User": ("", "Modify", "", ""),
    "Group": ("", "Allocate", "", ""),
    "Realm": ("Allocate", "AllocateUser", "", ""),
    "Pool": ("", "Allocate", "", "Audit"),
    "Mapping": ("", "Modify", "Use", "Audit"),
}
_SINCE_9 = (
    "",
    "Replicate GuestAgent.Unrestricted",
    "GuestAgent.FileRead GuestAgent.FileSystemMgmt GuestAgent.FileWrite",
    "GuestAgent.Audit",
)
_UNTIL_8 = ("", "Monitor", "", "")


@cache
def built_in(major: int) -> dict[str, frozenset[str]]:
    """Role -> privileges, for 8 and 9."""
    roles: dict[str, set[str]] = {"NoAccess": set(), "Administrator": {"Permissions.Modify"}}
    groups = [*_GROUPS.items(), ("VM", _SINCE_9 if major >= 9 else _UNTIL_8)]
    for category, words in groups:
        root, admin, user, audit = ({f"{category}.{word}" for word in part.split()} for part in words)
        shown = "User" if category in {"Group", "Realm"} else category
        roles["Administrator"] |= root | admin | user | audit
        for role in (f"PVE{shown}Admin", "PVEAdmin"):
            roles.setdefault(role, set()).update(admin | user | audit)
        if shown not in {"Sys", "User"}:
            roles.setdefault(f"PVE{shown}User", set()).update(user | audit)
        roles.setdefault("PVEAuditor", set()).update(audit)
    roles["PVEAdmin"].discard("Mapping.Modify")
    roles["PVEVMUser"].discard("VM.GuestAgent.Unrestricted")
    roles["PVETemplateUser"] = {"VM.Audit", "VM.Clone"}
    return {role: frozenset(privs) for role, privs in roles.items()}


def privileges(major: int) -> frozenset[str]:
    """Every privilege that exists."""
    return built_in(major)["Administrator"]
