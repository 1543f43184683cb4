"""The ownership marker in a guest's notes: losing every database of ours must never cost knowledge of what is ours."""

import json
import re
from collections.abc import Iterable

from innkeeper.model.observed import Marker
from innkeeper.settings import canonical

TAG = "innkeeper"
"""The tag that every guest of ours carries; it makes them visible in one call (`GET /cluster/resources`)."""

NOTES_LIMIT = 8192
"""Characters that Proxmox keeps of a description (`maxLength` of the parameter `description`)."""

_COMMENT = re.compile(r"<!-- innkeeper (\{[^\n]*\}) -->\s*\Z")


def read_marker(notes: str) -> tuple[str, Marker | None]:
    """The notes' visible text (canonical, see `canonical.notes`) and the marker at their end, if there is one.

    A marker that cannot be read (cut, edited by hand) counts as no marker and stays in the visible text.
    """
    found = _COMMENT.search(notes)
    marker = _parse(found[1]) if found else None
    visible = notes[: found.start()] if found and marker else notes
    return canonical.notes(visible), marker


def write_marker(visible: str, marker: Marker) -> str:
    """Notes that hold both: the visible text, then an HTML comment, which Proxmox's pages do not show.

    `read_marker(write_marker(text, marker))` gives back both. ValueError when the result exceeds NOTES_LIMIT.
    """
    notes = _join(visible, marker)
    if len(notes) > NOTES_LIMIT:
        raise ValueError(
            f"the description is too long: with Innkeeper's marker it has {len(notes)} characters, "
            f"Proxmox keeps {NOTES_LIMIT}"
        )
    return notes


def room(visible: str, settings: Iterable[str], source: str = "x" * 120) -> int:
    """How many characters of notes are left beside a marker with these settings; negative: the text is too long."""
    made = (("template", "x" * 120), ("sshKeys", "x" * 16), ("applied", "x" * 64), ("vmid", "x" * 9))
    marker = Marker(source, "VirtualMachine", "x" * 63, "x" * 40, tuple(settings), made, "x" * 64)
    return NOTES_LIMIT - len(_join(visible, marker))


def _join(visible: str, marker: Marker) -> str:
    body = {
        "source": marker.source,
        "kind": marker.kind,
        "name": marker.name,
        "revision": marker.revision,
        "settings": _pack(marker.settings),
        "made": dict(marker.made),
        "configured": marker.configured,
    }
    compact = json.dumps({name: value for name, value in body.items() if value}, separators=(",", ":"))
    # neither the comment's end nor anything else that a page could take for markup
    compact = compact.replace("<", "\\u003c").replace(">", "\\u003e")
    return f"{canonical.notes(visible)}\n\n<!-- innkeeper {compact} -->".strip()


def _parse(text: str) -> Marker | None:
    try:
        body = json.loads(text)
        words = [str(body.get(name, "")) for name in ("source", "kind", "name", "revision", "configured")]
        made = tuple(sorted((str(key), str(value)) for key, value in body.get("made", {}).items()))
        settings = _unpack(str(body.get("settings", "")))
    except (ValueError, AttributeError):
        return None
    if not all(words[:3]):
        return None
    return Marker(words[0], words[1], words[2], words[3], settings, made, words[4])


def _pack(names: Iterable[str]) -> str:
    """Setting names with their sub-keys gathered: `net0.bridge`, `net0.ip` → `net0.bridge.ip`; sorted."""
    gathered: dict[str, list[str]] = {}
    for name in sorted(names):
        base, _, part = name.partition(".") if "=" not in name else (name, "", "")
        gathered.setdefault(base, []).append(part)
    words = []
    for base, parts in gathered.items():
        words += [base] if "" in parts else []
        words += [".".join([base, *filter(None, parts)])] if any(parts) else []
    return "\n".join(words)


def _unpack(text: str) -> tuple[str, ...]:
    names: set[str] = set()
    for word in text.split("\n") if text else []:
        base, *parts = word.split(".") if "=" not in word else [word]
        names |= {f"{base}.{part}" for part in parts} or {base}
    return tuple(sorted(names))
