"""Guests, jobs and logs of a server on a terminal, as the local commands show them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from innkeeper.cli.rendering import plan_lines, table
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Change, Plan, Step

Object = Mapping[str, Any]
_STYLES = {
    "Synced": "green",
    "OutOfSync": "yellow",
    "Healthy": "green",
    "Progressing": "cyan",
    "Degraded": "red",
    "Missing": "red",
    "Suspended": "dim",
    "succeeded": "green",
    "failed": "red",
    "running": "cyan",
    "waiting": "yellow",
    "cancelled": "dim",
}
_LEVELS = {"warning": "yellow", "error": "red"}


def guest_lines(guests: Sequence[Object]) -> Iterator[Text]:
    rows = [("GUEST", "VMID", "NODE", "SYNC", "HEALTH", "SOURCE")]
    rows += (
        (_ref(item), str(item["vmid"] or "-"), item["node"] or "-", item["sync"], item["health"], item["source"])
        for item in guests
    )
    for number, line in enumerate(_coloured(rows)):
        yield line
        for condition in guests[number - 1]["conditions"] if number else ():
            yield Text(f"    {condition['type']}: {condition['message']}", "dim")


def source_lines(sources: Sequence[Object]) -> Iterator[Text]:
    """Those that something is the matter with."""
    for item in sources:
        if item["error"]:
            yield Text(f"Source {item['name']}: {item['error']}", "red")
        if item["suspended"]:
            yield Text(f"Source {item['name']} is suspended.", "yellow")
        if item["pinned"]:
            held, free = f"is held at {item['pinned'][:12]} since a rollback", f"innkeeper release {item['name']}"
            yield Text(f"Source {item['name']} {held}: {free}", "yellow")


def job_table(jobs: Sequence[Object]) -> Iterator[Text]:
    rows = [("JOB", "TYPE", "SOURCE", "STATE", "BEGAN", "BY", "SUMMARY")]
    rows += (
        (
            str(job["id"]),
            job["type"],
            job["source"],
            job["state"],
            _when(job["started_at"] or job["created_at"]),
            _asked(job),
            job["error"] or job["summary"],
        )
        for job in jobs
    )
    yield from _coloured(rows)


def job_lines(job: Object) -> Iterator[Text]:
    """One job: what it is, the plan that it waits with or carried out, and what to do next."""
    head = Text(f"Job {job['id']}: {job['type']} of {job['source']}, ", "bold")
    head.append(job["state"], _STYLES.get(job["state"], "default"))
    yield head
    told = (("revision", job["revision"]), ("by", _asked(job)), ("began", _when(job["started_at"])))
    yield Text("  " + ", ".join(f"{name} {value}" for name, value in told if value), "dim")
    if job["summary"]:
        yield Text(f"  {job['summary']}")
    if job["error"]:
        yield Text(f"  {job['error']}", "red")
    if isinstance(job["result"].get("steps"), list):
        yield from plan_lines(plan_of(job["result"]))
    if job["state"] == "waiting":
        yield Text(f"Digest: {job['digest']}", "dim")
        yield Text(f"Waits for an approval: innkeeper approve {job['id']}", "yellow")


def log_line(line: Object) -> Text:
    text = Text(_clock(line["at"]) + "  ", "dim")
    text.append(f"{line['guest']}: " if line["guest"] else "", "bold not dim")
    text.append(line["message"], f"{_LEVELS.get(line['level'], 'default')} not dim")
    return text


def plan_of(result: Object) -> Plan:
    """The plan in a job's result, as far as it is shown."""
    return Plan(tuple(_step(item) for item in result["steps"]))


def destroyed(job: Object) -> list[str]:
    """Names of the guests that a waiting job's plan deletes or replaces."""
    return [step["name"] for step in job["result"].get("steps", ()) if step["action"] in ("delete", "replace")]


def taken_back(job: Object) -> list[str]:
    """Names of the guests that a waiting rollback takes back to a snapshot."""
    return [str(name) for name in job["result"].get("restored", ())]


def _step(item: Object) -> Step:
    return Step(
        action=item["action"],
        ref=Ref(item["kind"], item["name"]),
        cluster=item["cluster"],
        node=item["node"],
        vmid=item["vmid"],
        impact=item["impact"],
        changes=tuple(Change(change["field"], change["from"], change["to"]) for change in item["changes"]),
        reason=item["reason"],
    )


def _asked(job: Object) -> str:
    """A person's name, else what made it; of a webhook's long delivery id the log of the audit has all."""
    named = job["actor"] and not job["actor"].startswith("webhook:")
    return str(job["actor"] if named else job["trigger"])


def _ref(item: Object) -> str:
    return f"{item['kind']}/{item['name']}"


def _coloured(rows: Sequence[Sequence[str]]) -> Iterator[Text]:
    head, *lines = table(rows)
    yield Text(head, "bold")
    for line in lines:
        text = Text(line)
        for word, style in _STYLES.items():
            text.highlight_words([f" {word} ", f" {word}"], style)
        yield text


def _when(moment: str | None) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""


def _clock(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%H:%M:%S")
