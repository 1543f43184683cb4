"""What one revision of a source declares."""

from dataclasses import dataclass
from pathlib import Path

from innkeeper.manifests.loading import Loaded


@dataclass(frozen=True, slots=True)
class Rendered:
    """`place` is the checkout's directory of the source; `loaded` holds every cluster that its guests may be on.

    `empty`: not a single manifest is there. That is no error: a person is asked whether the last guests are to go.
    `inside`: another revision that says what runs in the guests; empty: this one does.
    """

    revision: str
    place: Path
    loaded: Loaded
    empty: bool
    inside: str = ""
