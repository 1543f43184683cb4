"""The guests' list as an address: every search, filter, order and page of it can be shared as a link."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args
from urllib.parse import urlencode

from innkeeper.control.memory import GuestQuery, Sort

SORTS: tuple[Sort, ...] = get_args(Sort)
COLUMNS: tuple[tuple[Sort, str], ...] = (
    ("name", "Guest"),
    ("vmid", "Id"),
    ("sync", "Sync"),
    ("health", "Health"),
    ("node", "Node"),
    ("address", "Address"),
    ("source", "Source"),
    ("revision", "Revision"),
    ("created_at", "Age"),
)
_LIMIT = 100
_FURTHEST = 1_000_000
_FACETS = (
    ("sync", "sync"),
    ("health", "health"),
    ("source", "sources"),
    ("cluster", "clusters"),
    ("node", "nodes"),
    ("condition", "conditions"),
)
"""What the address calls it (several values with commas between them), and what the query does."""


def from_address(params: Mapping[str, str]) -> GuestQuery:
    """The query of an address; what makes no sense in it is left out."""
    sort = params.get("sort", "name")
    start = params.get("start", "")
    chosen = {field: tuple(params[name].split(",")) for name, field in _FACETS if params.get(name)}
    return GuestQuery(
        text=params.get("text", "").strip()[:200],
        sort=next((item for item in SORTS if item == sort), "name"),
        descending=params.get("down") == "1",
        offset=min(int(start), _FURTHEST) if start.isascii() and start.isdigit() and len(start) < 9 else 0,
        limit=_LIMIT,
        **chosen,
    )


def to_address(query: GuestQuery) -> str:
    params: dict[str, object] = {"text": query.text}
    params |= {name: ",".join(getattr(query, field)) for name, field in _FACETS}
    params |= {"sort": "" if query.sort == "name" else query.sort, "down": int(query.descending), "start": query.offset}
    said = urlencode({name: value for name, value in params.items() if value})
    return f"/guests?{said}" if said else "/guests"


def sorted_by(query: GuestQuery, sort: Sort) -> str:
    """The address of the same list in this order; in the other direction where it is in that order already."""
    turned = query.sort == sort and not query.descending
    return to_address(replace(query, sort=sort, descending=turned, offset=0))


def earlier(query: GuestQuery) -> str:
    return to_address(replace(query, offset=max(0, query.offset - query.limit))) if query.offset else ""


def later(query: GuestQuery, total: int) -> str:
    following = query.offset + query.limit
    return to_address(replace(query, offset=following)) if following < total else ""


def filtered(query: GuestQuery) -> bool:
    return bool(query.text or query.offset or any(getattr(query, field) for _, field in _FACETS))
