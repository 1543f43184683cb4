"""External metric servers, which are noted but not spoken to (PVE::API2::Cluster::MetricServer)."""

from __future__ import annotations

from pvesim import schema
from pvesim.api.method import ApiError, Call, method
from pvesim.api.sections import change, changing, sections, settings

FILE = "status.cfg"
NEEDED = ("server", "port")


@method("GET", "/cluster/metrics/server")
def list_servers(call: Call) -> object:
    return [
        {"id": name, "disable": entry.get("disable", 0)} | {key: entry[key] for key in ("type", *NEEDED)}
        for name, entry in sorted(sections(call, FILE).items())
    ]


@method("GET", "/cluster/metrics/server/{id}")
def read(call: Call) -> object:
    name = str(call.params["id"])
    if name not in sections(call, FILE):
        raise ApiError(500, f"status server entry '{name}' does not exist")
    return sections(call, FILE)[name]


@method("POST", "/cluster/metrics/server/{id}")
async def create(call: Call) -> None:
    """A token is kept elsewhere, and never shown."""
    name = str(call.params["id"])
    async with changing(call, FILE) as known:
        if name in known:
            raise ApiError(500, f"Metric server '{name}' already exists")
        known[name] = settings(call, "id", "token")


@method("PUT", "/cluster/metrics/server/{id}")
async def update(call: Call) -> None:
    name = str(call.params["id"])
    options = schema.load(call.cluster.version)["PUT /cluster/metrics/server/{id}"].params
    async with changing(call, FILE) as servers:
        if name not in servers:
            raise ApiError(500, f"no such server '{name}'")
        given = settings(call, "id", "token", "delete", "digest")
        change(servers[name], given, call.params.get("delete"), known=options, needed=NEEDED)


@method("DELETE", "/cluster/metrics/server/{id}")
async def delete(call: Call) -> None:
    async with changing(call, FILE) as known:
        if known.pop(str(call.params["id"]), None) is None:
            raise ApiError(500, "cannot lookup undefined type!")
