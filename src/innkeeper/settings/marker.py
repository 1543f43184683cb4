"""The ownership marker in a guest's notes: losing every database of ours must never cost knowledge of what is ours."""

from innkeeper.model.observed import Marker

TAG = "innkeeper"
"""The tag that every guest of ours carries; it makes them visible in one call (`GET /cluster/resources`)."""

NOTES_LIMIT = 8192
"""Characters that Proxmox keeps of a description (`maxLength` of the parameter `description`)."""


def read_marker(notes: str) -> tuple[str, Marker | None]:
    """The notes' visible text (no surrounding white space, `\\n` line ends) and the marker at their end, if one is there.

    A marker that cannot be read (cut, edited by hand) counts as no marker and stays in the visible text.
    """
    raise NotImplementedError


def write_marker(visible: str, marker: Marker) -> str:
    """Notes that hold both: the visible text, then an HTML comment, which Proxmox's pages do not show.

    `read_marker(write_marker(text, marker))` gives back both. ValueError when the result exceeds NOTES_LIMIT.
    """
    raise NotImplementedError
