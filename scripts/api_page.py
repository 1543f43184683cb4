"""The reference of the JSON API, from the document that the server itself gives out."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from innkeeper.web.api import document

_TITLES = {
    "guests": "Guests",
    "jobs": "Jobs",
    "sources": "Sources",
    "drift": "Drift",
    "forms": "Forms",
    "clusters": "Clusters",
    "people": "Users, tokens, audit",
}


def routes() -> str:
    """A table for each part: what to call, the least role, what it does, what goes in and comes out."""
    app = FastAPI()
    document.install(app)
    described = document.describe(app)
    operations = [
        (path.removeprefix(document.PREFIX), method.upper(), operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    return "\n".join(line for tag, title in _TITLES.items() for line in _part(title, tag, operations))


def _part(title: str, tag: str, operations: list[tuple[str, str, dict[str, Any]]]) -> Iterator[str]:
    yield from (f"## {title}", "", "| call | least role | | in | out |", "|---|---|---|---|---|")
    for path, method, operation in operations:
        # A route may stand in another part than the file that it is in: its last tag says where.
        if operation["tags"][-1] == tag:
            what = operation["description"].partition("\n")[0]
            yield f"| `{method} {path}` | {operation['x-least-role']} | {what} | {_in(operation)} | {_out(operation)} |"
    yield ""


def _in(operation: dict[str, Any]) -> str:
    query = [f"`{item['name']}`" for item in operation.get("parameters", ()) if item["in"] == "query"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return ", ".join([*query, *([_type(body)] if body else [])])


def _out(operation: dict[str, Any]) -> str:
    status, answer = next((code, item) for code, item in operation["responses"].items() if code.startswith("2"))
    content = answer.get("content", {})
    if "text/event-stream" in content:
        return "events"
    schema = content.get("application/json", {}).get("schema")
    return " ".join(filter(None, (status if status != "200" else "", _type(schema) if schema else "")))


def _type(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return f"{schema['$ref'].rpartition('/')[2]}" if "$ref" in schema else "object"
