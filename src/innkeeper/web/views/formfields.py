"""A form between its two shapes: what a browser sends, and the values that commands take. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from markupsafe import Markup

from innkeeper.control.forms import ClusterOptions, Form, FormOptions, ProfileOptions
from innkeeper.model.objects import AllowedRange, GuestKind
from innkeeper.model.units import parse_quantity

_NUMBERS = ("cores", "memory", "disk", "vlan", "port")
_TICKS = ("start", "start_on_boot", "expose", "public", "auth", "monitoring", "protected")
_LINES = ("ssh_keys",)
_CHOICES = ("kind", "network")
_TEXTS = tuple(item.name for item in fields(Form) if item.name not in (*_NUMBERS, *_TICKS, *_LINES, *_CHOICES))
_DIGITS = 9
_LIMITED: Mapping[str, tuple[str, int, str]] = {
    "cores": ("cpu.cores", 1, ""),
    "memory": ("memory", 1 << 20, " MiB"),
    "disk": ("rootDisk.size", 1 << 30, " GiB"),
}
"""A field, what profiles call it, bytes of the unit that the form counts in, and that unit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a number may be: as a sentence, and as attributes of its input."""

    hint: str
    attributes: Markup


def from_browser(sent: Mapping[str, str]) -> tuple[Form, Mapping[str, str]]:
    """The form, and what of it could not be read: a sentence by field."""
    problems: dict[str, str] = {}
    values: dict[str, object] = {name: sent.get(name, "").strip() for name in _TEXTS}
    for name in _NUMBERS:
        text = sent.get(name, "").strip()
        good = text.isascii() and text.isdigit() and len(text) <= _DIGITS
        values[name] = int(text) if good else None
        if text and not good:
            problems[name] = f"a whole number, not {text[:40]!r}"
    values |= {name: sent.get(name, "") in ("on", "true", "1") for name in _TICKS}
    values |= {name: tuple(filter(None, map(str.strip, sent.get(name, "").splitlines()))) for name in _LINES}
    kind: GuestKind = "VirtualMachine" if sent.get("kind") == "VirtualMachine" else "Container"
    network: Literal["dhcp", "static"] = "static" if sent.get("network") == "static" else "dhcp"
    return Form(**values | {"kind": kind, "network": network}), problems  # type: ignore[arg-type]


def to_browser(form: Form) -> Iterator[tuple[str, str]]:
    """Every field as a browser sends it; `from_browser` reads it back to the same form."""
    for item in fields(Form):
        value = getattr(form, item.name)
        if value is True:
            yield item.name, "on"
        elif isinstance(value, tuple):
            yield item.name, "\n".join(value)
        elif value is not None and value is not False and value != "":
            yield item.name, str(value)


def fresh(options: FormOptions, sent: Mapping[str, str]) -> Form:
    """A new form for what was chosen in the first step, what is free proposed; what is not offered is passed over."""
    profile = profile_of(options, sent.get("profile", ""))
    cluster = cluster_of(options, sent.get("cluster", ""))
    kind: GuestKind = "VirtualMachine" if sent.get("kind") == "VirtualMachine" else "Container"
    if profile and kind not in profile.kinds:
        kind = profile.kinds[0]
    machines = cluster.machines if cluster and kind == "VirtualMachine" else ()
    return Form(
        source=options.source,
        kind=kind,
        profile=profile.name if profile else "",
        cluster=cluster.name if cluster else "",
        template=machines[0] if machines else "",
        address=cluster.next_address if cluster else "",
        gateway=cluster.gateway if cluster else "",
        cores=profile.cores if profile else None,
        memory=profile.memory if profile else None,
        disk=profile.disk if profile else None,
        port=80 if profile and profile.web_server else None,
    )


def profile_of(options: FormOptions, name: str) -> ProfileOptions | None:
    return next((item for item in options.profiles if item.name == name), None)


def cluster_of(options: FormOptions, name: str) -> ClusterOptions | None:
    """The cluster of this name, else the first."""
    return next((item for item in options.clusters if item.name == name), next(iter(options.clusters), None))


def limits(profile: ProfileOptions | None) -> Mapping[str, Limit]:
    """What `cores`, `memory` and `disk` may be with a profile."""
    allowed = profile.allowed if profile else {}
    return {name: _limit(allowed.get(field), unit, word) for name, (field, unit, word) in _LIMITED.items()}


def _limit(allowed: AllowedRange | None, unit: int, word: str) -> Limit:
    low = _number(allowed.min, unit) if allowed else None
    high = _number(allowed.max, unit) if allowed else None
    attributes = Markup(' min="{}"').format(low or 1) + (Markup(' max="{}"').format(high) if high else Markup(""))
    if low and high:
        return Limit(f"{low} to {high}{word}", attributes)
    return Limit(f"at least {low}{word}" if low else f"at most {high}{word}" if high else "", attributes)


def _number(value: object, unit: int) -> int | None:
    """A limit in the form's unit: a number as it is, a quantity in so many bytes."""
    if isinstance(value, (int, float)):
        return int(value)
    return parse_quantity(value) // unit if isinstance(value, str) else None


def told(allowed: AllowedRange) -> str:
    """A range as profiles say it: `256Mi to 4Gi`."""
    if allowed.one_of:
        return ", ".join(map(str, allowed.one_of))
    parts: Sequence[str] = [str(part) for part in (allowed.min, allowed.max) if part is not None]
    if len(parts) == 2:
        return " to ".join(parts)
    return f"at {'least' if allowed.min is not None else 'most'} {parts[0]}" if parts else "anything"
