"""A notice as the body of a webhook, in the shape that its receiver reads."""

from collections.abc import Mapping
from html import escape

from innkeeper.control.ports import Notice
from innkeeper.model.plan import Json

_SIGNS = {"failure": "✗", "drift": "≠", "recovery": "✓", "approval": "?"}
_LONGEST = 3000
"""Slack takes 3,000 characters in a block; nobody reads more in a chat."""


def generic(notice: Notice) -> Mapping[str, Json]:
    """Every field as it is; `at` in RFC 3339."""
    return {
        "kind": notice.kind,
        "key": notice.key,
        "title": notice.title,
        "text": notice.text,
        "at": notice.at.isoformat(),
        "url": notice.url,
    }


def slack(notice: Notice) -> Mapping[str, Json]:
    """An incoming webhook of Slack; Mattermost reads it as well. Nobody is mentioned by a guest's name."""
    head = f"{_SIGNS[notice.kind]} {notice.title}"
    body = "\n".join(filter(None, (f"*{_slack(head)}*", _slack(notice.text), notice.url and f"<{notice.url}|Open>")))
    return {"text": _slack(head), "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": body}}]}


def matrix(notice: Notice) -> Mapping[str, Json]:
    """What hookshot's and maubot's webhooks of Matrix read: plain text and HTML."""
    head = f"{_SIGNS[notice.kind]} {notice.title}"
    plain = "\n".join(filter(None, (head, notice.text[:_LONGEST], notice.url)))
    lines = [f"<strong>{escape(head)}</strong>", *map(escape, notice.text[:_LONGEST].splitlines())]
    lines += [f'<a href="{escape(notice.url)}">Open</a>'] if notice.url else []
    return {"text": plain, "html": "<br>".join(lines), "username": "Innkeeper"}


def _slack(text: str) -> str:
    """Slack's three control characters; a broken mention is none."""
    return text[:_LONGEST].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


SHAPES = {"generic": generic, "slack": slack, "matrix": matrix}
