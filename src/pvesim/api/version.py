"""`/version`, and the lists of subdirectories that every branch of the API has."""

from __future__ import annotations

from pvesim.api.method import Call, method

REPOID = "f40095996bcb6bf7"


@method("GET", "/version")
def version(call: Call) -> object:
    return {"version": call.cluster.version, "release": call.cluster.release, "repoid": REPOID}
