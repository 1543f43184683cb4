"""Changes that wait for a restart: how they are recorded, shown and cleared (PVE::AbstractConfig)."""

from __future__ import annotations

from collections.abc import Mapping

from pvesim.cluster.qemu import drive, options
from pvesim.cluster.state import Config, Guest

MASK = "**********"


def want(guest: Guest, key: str, value: str) -> None:
    """Record a new value; it is not in effect yet."""
    guest.pending[key] = value
    guest.pending_delete.pop(key, None)


def want_gone(guest: Guest, key: str, *, force: bool = False) -> None:
    """Record that a setting shall go; `force`: with its volume."""
    guest.pending.pop(key, None)
    guest.pending_delete[key] = force


def commit(guest: Guest, key: str) -> None:
    """Put a recorded value, or its absence, into effect."""
    if key in guest.pending:
        guest.config[key] = guest.pending.pop(key)
    elif key in guest.pending_delete:
        del guest.pending_delete[key]
        guest.config.pop(key, None)


def tidy(guest: Guest) -> None:
    """Drop what would change nothing (cleanup_pending), and `unusedN` of volumes that are in use (write_vm_config)."""
    guest.pending = {key: value for key, value in guest.pending.items() if guest.config.get(key) != value}
    guest.pending_delete = {key: force for key, force in guest.pending_delete.items() if key in guest.config}
    used = {one.file for section in (guest.config, guest.pending) for one in drive.drives(section)}
    for key, volid in drive.unused(guest.config).items():
        if volid in used:
            del guest.config[key]


def add_unused(config: Config, volid: str) -> str | None:
    """Note a volume that no slot holds any more; its key, or None when it was noted already (add_unused_volume)."""
    noted = drive.unused(config)
    if volid in noted.values():
        return None
    key = next((key for key in (f"unused{n}" for n in range(drive.UNUSED)) if key not in noted), None)
    if key is None:
        raise ValueError("Too many unused volumes - please delete them first.")
    config[key] = volid
    return key


def effective(guest: Guest) -> Config:
    """The config as it will be after a restart (load_current_config)."""
    merged = guest.config | guest.pending
    return {key: value for key, value in merged.items() if key not in guest.pending_delete}


def rows(guest: Guest, digest: str) -> list[dict[str, object]]:
    """What `GET …/pending` answers (config_with_pending_array): one row a setting, the digest among them."""
    found: list[dict[str, object]] = []
    for key, value in guest.config.items():
        row: dict[str, object] = {"key": key, "value": MASK if key == "cipassword" else options.number(key, value)}
        if key in guest.pending:
            row["pending"] = _shown(key, guest.pending)
        if key in guest.pending_delete:
            row["delete"] = 2 if guest.pending_delete[key] else 1
        found.append(row)
    found.append({"key": "digest", "value": digest})
    found += [{"key": key, "pending": _shown(key, guest.pending)} for key in guest.pending if key not in guest.config]
    # the force of such a row is read from a reference, which is always true
    found += [{"key": key, "delete": 2} for key in guest.pending_delete if key not in guest.config]
    return found


def _shown(key: str, section: Mapping[str, str]) -> object:
    # the blank tells a password that changed from one that did not
    return MASK + " " if key == "cipassword" else options.number(key, section[key])
