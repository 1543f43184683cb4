"""How the portal says things: a status by shape, word and colour; a moment by its age; a value as manifests spell it.

All of it is installed into the templates as filters. What comes out as markup was escaped here, piece by piece.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment
from markupsafe import Markup

from innkeeper.model.objects import Ref
from innkeeper.model.plan import Json
from innkeeper.web.views.formfields import told

_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86400
_REVISION = 10
"""Digits of a commit that are shown."""


@dataclass(frozen=True, slots=True)
class Mark:
    """`tone` is the colour's name in the style sheet, `shape` tells the same without colour."""

    tone: str
    shape: str
    word: str

    def __html__(self) -> str:
        return Markup('<span class="mark {} {}">{}</span>').format(self.tone, self.shape, self.word)


HEALTH: Mapping[str, Mark] = {
    "Healthy": Mark("ok", "disc", "Healthy"),
    "Progressing": Mark("busy", "half", "Progressing"),
    "Degraded": Mark("bad", "rise", "Degraded"),
    "Suspended": Mark("idle", "bars", "Suspended"),
    "Missing": Mark("bad", "cross", "Missing"),
    "Unknown": Mark("idle", "ring", "Unknown"),
}
SYNC: Mapping[str, Mark] = {
    "Synced": Mark("ok", "disc", "Synced"),
    "OutOfSync": Mark("warn", "gem", "Out of sync"),
    "Unknown": Mark("idle", "ring", "Unknown"),
}
JOBS: Mapping[str, Mark] = {
    "pending": Mark("idle", "ring", "Pending"),
    "running": Mark("busy", "half", "Running"),
    "waiting": Mark("warn", "gem", "Waiting for approval"),
    "succeeded": Mark("ok", "disc", "Succeeded"),
    "failed": Mark("bad", "rise", "Failed"),
    "cancelled": Mark("idle", "cross", "Cancelled"),
}
RESULTS: Mapping[str, Mark] = {
    "done": Mark("ok", "disc", "Done"),
    "failed": Mark("bad", "rise", "Failed"),
    "skipped": Mark("idle", "cross", "Skipped"),
    "running": Mark("busy", "half", "Running"),
}
FINDINGS: Mapping[str, Mark] = {
    "error": Mark("bad", "rise", "Error"),
    "warning": Mark("warn", "gem", "Warning"),
    "info": Mark("idle", "ring", "Note"),
    "ok": Mark("ok", "disc", "Good"),
}
IMPACTS: Mapping[str, tuple[str, str]] = {
    "none": ("idle", "not felt"),
    "live": ("ok", "live"),
    "restart": ("warn", "restart"),
    "replace": ("grave", "replace"),
    "data-loss": ("bad", "data loss"),
}
SIGNS: Mapping[str, tuple[str, str]] = {
    "create": ("+", "ok"),
    "update": ("~", "warn"),
    "replace": ("±", "grave"),
    "delete": ("−", "bad"),
    "adopt": ("∗", "busy"),
    "noop": ("=", "idle"),
}
CONDITIONS: Mapping[str, tuple[str, str]] = {
    "PendingReboot": ("warn", "Waits for a restart"),
    "Drifted": ("warn", "Drifted"),
    "OwnershipConflict": ("bad", "Claimed twice"),
    "Locked": ("warn", "Locked"),
    "Missing": ("warn", "Not there yet"),
    "Adoptable": ("warn", "Wants to be adopted"),
    "Orphaned": ("warn", "Declared no more"),
    "Checked": ("bad", "A health check fails"),
    "Reachable": ("bad", "Out of reach"),
    "Prepared": ("bad", "Not prepared"),
    "Running": ("bad", "Does not run"),
    "Invalid": ("bad", "Declared wrongly"),
}
"""What a condition is called where it is news, in which tone."""


def mark(word: str, among: Mapping[str, Mark]) -> Mark:
    """The mark of a status; a word that is not known is shown as it is."""
    return among.get(word, Mark("idle", "ring", word))


def impact(word: str) -> Markup:
    tone, text = IMPACTS.get(word, ("idle", word))
    return Markup('<span class="tag tone {}">{}</span>').format(tone, text)


def sign(action: str) -> Markup:
    """The sign of a plan's action, with its word for those who do not see it."""
    text, tone = SIGNS.get(action, ("?", "idle"))
    return Markup('<span class="sign {}" aria-hidden="true">{}</span>').format(tone, text)


def key(vmid: int | None) -> Markup:
    """A guest's vmid on its key tag."""
    if vmid is None:
        return Markup('<span class="none">no vmid yet</span>')
    return Markup('<span class="key"><span class="vh">vmid </span>{}</span>').format(vmid)


def commit(revision: str) -> Markup:
    if not revision:
        return Markup('<span class="none">none</span>')
    return Markup('<code title="{}">{}</code>').format(revision, revision[:_REVISION])


def span(length: timedelta) -> str:
    """`42 s`, `7 min`, `3 h`, `12 d`: the one unit that matters."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    return f"{seconds // _HOUR} h" if seconds < 2 * _DAY else f"{seconds // _DAY} d"


def moment(at: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", text
    )


def ago(at: datetime | None, now: datetime) -> Markup:
    """How long something is past, or how long it is until then."""
    if at is None:
        return Markup('<span class="none">never</span>')
    return moment(at, f"in {span(at - now)}" if at > now + timedelta(seconds=1) else f"{span(now - at)} ago")


def age(at: datetime | None, now: datetime) -> Markup:
    return Markup("") if at is None else moment(at, span(now - at))


def clock(at: datetime) -> Markup:
    return moment(at, f"{at:%H:%M:%S}")


def spelled(item: Json) -> str:
    """A value as manifests spell it; what is not set is a dash."""
    if item is None:
        return "–"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, (list, tuple)):
        return ", ".join(spelled(part) for part in item) or "[]"
    if isinstance(item, Mapping):
        return ", ".join(f"{name}: {spelled(part)}" for name, part in item.items()) or "{}"
    return str(item) or '""'


def size(count: float) -> str:
    """Bytes in the largest unit that leaves a number of at least one."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    place = 0
    while value >= 1024 and place < len(units) - 1:
        value, place = value / 1024, place + 1
    return f"{value:.0f} {units[place]}" if value >= 10 or place == 0 else f"{value:.1f} {units[place]}"


def counted(number: int, one: str, many: str = "") -> str:
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"


def grouped(number: int) -> str:
    """`12 345`, with a thin space."""
    return f"{number:,}".replace(",", "\u2009")


def web_address(url: str) -> str:
    """The address where it is one that a link may lead to (http, https); empty else: `javascript:` leads nowhere."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        return ""
    return url if scheme in ("http", "https") else ""


def guest_path(source: str, ref: Ref) -> str:
    return "/guests/" + "/".join(quote(part, safe="") for part in (source, ref.kind, ref.name))


def kind_word(kind: str) -> str:
    return {"Container": "container", "VirtualMachine": "virtual machine"}.get(kind, kind)


_ACTIONS: Mapping[str, str] = {
    "publish-caddy": "its site is published through Caddy",
    "register-monitoring": "Prometheus is told of it",
    "register-health": "its health endpoint goes into the service definition",
}


def title_of(name: str) -> str:
    """`static-website` as people call it."""
    return name.replace("-", " ").title()


def install(templates: Environment) -> None:
    """Teach the templates these words."""
    marks: Mapping[str, Any] = {
        "health": HEALTH,
        "sync": SYNC,
        "job_state": JOBS,
        "result": RESULTS,
        "severity": FINDINGS,
    }
    for name, among in marks.items():
        templates.filters[name] = lambda word, among=among: mark(word, among)
    templates.filters |= {
        "impact": impact,
        "sign": sign,
        "key": key,
        "commit": commit,
        "span": span,
        "ago": ago,
        "age": age,
        "clock": clock,
        "spelled": spelled,
        "size": size,
        "counted": counted,
        "grouped": grouped,
        "web_address": web_address,
        "kind_word": kind_word,
        "title_of": title_of,
        "action": lambda word: _ACTIONS.get(word, word),
        "range": told,
        "condition": lambda word: CONDITIONS.get(word, ("", word))[1],
        "condition_tone": lambda word: CONDITIONS.get(word, ("bad", ""))[0],
    }
    templates.globals["guest_path"] = guest_path
