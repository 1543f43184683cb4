"""Changes of a container that wait for a restart: noted, shown, tidied (PVE::AbstractConfig, PVE::GuestHelpers)."""

from __future__ import annotations

from typing import Any

from pvesim.cluster.lxc import options
from pvesim.cluster.state import Cluster, Config, Guest


def effective(guest: Guest) -> Config:
    """The config with what waits taken in; what shall go stays visible while it is 0 (load_current_config)."""
    config = guest.config | guest.pending
    return {key: value for key, value in config.items() if key not in guest.pending_delete or value == "0"}


def rows(cluster: Cluster, guest: Guest) -> list[dict[str, Any]]:
    """What `GET …/pending` answers: one row a setting, the digest among them (config_with_pending_array)."""
    now, then = options.typed(cluster, guest.config), options.typed(cluster, guest.pending)
    found: list[dict[str, Any]] = []
    for key, value in now.items():
        row: dict[str, Any] = {"key": key, "value": value}
        if key in then:
            row["pending"] = then[key]
        if key in guest.pending_delete:
            row["delete"] = 2 if guest.pending_delete[key] else 1
        found.append(row)
    found.append({"key": "digest", "value": cluster.digest(guest)})
    found += [{"key": key, "pending": value} for key, value in then.items() if key not in now]
    gone = [key for key in guest.pending_delete if key not in now and key not in then]
    return found + [{"key": key, "delete": 2 if guest.pending_delete[key] else 1} for key in gone]


def tidy(guest: Guest) -> None:
    """Forget what would change nothing (cleanup_pending)."""
    guest.pending = {key: value for key, value in guest.pending.items() if guest.config.get(key) != value}
    guest.pending_delete = {key: force for key, force in guest.pending_delete.items() if key in guest.config}
