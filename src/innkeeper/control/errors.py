"""What the control plane refuses, beside the engine's own errors."""

from innkeeper.engine.errors import Stalled


class NotFound(Stalled):
    """There is no such source, guest, job or cluster."""


class Denied(Stalled):
    """This may not be done by this person, or not by this source."""
