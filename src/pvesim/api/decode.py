"""From the bytes of a request to its parameters, with every oddity of Proxmox's decoder (PVE::APIServer::AnyEvent).

A form is split at `&` and at `;`, a value ends at a second `=`, a key without a value is there but undefined, a key
that comes twice is a list.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from pvesim.errors import ApiError

Params = dict[str, Any]


def form(text: str) -> Params:
    """The parameters of a query string or of a form."""
    found: Params = {}
    for pair in re.split("[&;]", text):
        if not pair:
            continue
        parts = pair.split("=")
        key = _plain(parts[0])
        value = _plain(parts[1]) if len(parts) > 1 and any(parts[1:]) else None
        if value is not None and found.get(key) is not None:
            old = found[key]
            found[key] = [*old, value] if isinstance(old, list) else [old, value]
        else:
            found[key] = value
    return found


def body(content_type: str | None, content: bytes) -> Params:
    """The parameters of a POST's or PUT's body; ApiError 500 for broken JSON."""
    if content_type and content_type.partition(";")[0].strip() == "application/json":
        try:
            found = json.loads(content)
        except ValueError as error:
            raise ApiError(500, f"malformed JSON string: {error}") from error
        if not isinstance(found, dict):
            raise ApiError(500, "malformed JSON string: expected an object with the parameters")
        return found
    return form(content.decode("latin-1"))


def multipart(content_type: str, content: bytes) -> tuple[Params, bytes | None]:
    """The fields of an upload, `filename` among them, and the file's content."""
    boundary = re.search(r"boundary=\"?([^\";]+)", content_type)
    if not boundary:
        raise ApiError(501, "upload failed")
    fields: Params = {}
    upload = None
    for part in content.split(b"--" + boundary[1].encode("latin-1")):
        head, blank, data = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if not blank or not name:
            continue
        filename = re.search(rb'filename="([^"]*)"', head)
        if filename:
            fields["filename"], upload = filename[1].decode(), data.removesuffix(b"\r\n")
        else:
            fields[name[1].decode()] = data.removesuffix(b"\r\n").decode()
    return fields, upload


def _plain(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8", "replace")
