"""What a change does to the guest as it is now: does it notice, does it need a restart."""

from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import Impact
from innkeeper.settings import canonical, table
from innkeeper.settings.table import How, Setting

HOTPLUG = "network,disk,usb"
"""What `hotplug` holds where it is not set, or 1."""


def impact_of(
    observed: ObservedGuest, name: str, part: str, before: str | None, after: str | None, *, whole: bool = False
) -> Impact:
    """The impact of one change of a setting or sub-key; `whole`: a nic, disk or mount appears or goes."""
    setting = table.find(observed.kind, name)
    if setting is None:
        return "restart"
    how: How = setting.parts[part].how if part in setting.parts else setting.how
    if whole:
        how = _slot(observed.kind, setting, adding=before is None)
    if name == "balloon" and (before == "0") != (after == "0"):
        how = "restart"
    return settle(how, observed)


def settle(how: How, observed: ObservedGuest) -> Impact:
    """A way to change, on this guest: what does not run needs no restart."""
    if how in ("none", "replace"):
        return "none" if how == "none" else "replace"
    stopped = observed.power == "stopped"
    waits = how == "restart" or (how.startswith("hot:") and how[4:] not in _hotplug(observed))
    return "restart" if waits and not stopped else "live"


def _hotplug(observed: ObservedGuest) -> frozenset[str]:
    text = (observed.config or {}).get("hotplug", "1")
    if text == "0":
        return frozenset()
    return frozenset(canonical.items(HOTPLUG if text == "1" else text))


def _slot(kind: str, setting: Setting, *, adding: bool) -> How:
    """A whole slot (PVE::LXC::Config and PVE::QemuServer, vmconfig_hotplug_pending)."""
    if kind == "Container":
        return "live" if adding or "volume" not in setting.marks else "restart"
    if "device" in setting.marks:
        return "hot:network"
    return "hot:disk" if setting.name in ("scsi[n]", "virtio[n]") else setting.how
