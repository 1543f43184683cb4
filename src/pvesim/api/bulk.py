"""Acting on many guests at once (PVE::API2::Cluster::BulkAction::Guest)."""

from __future__ import annotations

from pvesim.api.method import Call
from pvesim.cluster.state import Guest


def start_guest(call: Call, guest: Guest) -> str:
    """Start one guest by a task of its own."""
    raise NotImplementedError
