"""How long things inside a guest may take, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """`reach`: until a guest answers; `refused`: how long a refused sign-in may be a guest that is still booting;
    `handshake`: one SSH connection; `configure`: all roles of one guest.
    """

    reach: float = 120.0
    refused: float = 10.0
    handshake: float = 15.0
    configure: float = 3600.0
