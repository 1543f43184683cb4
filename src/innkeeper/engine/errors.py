"""Failures as scenarios: what happens next is part of the class.

EngineError
├── Stalled      a person must act; repeating is useless (a right is missing, a value is refused, protection is on)
│   ├── NotLetIn     the credentials are refused: no call is of use before they change
│   └── Unexplained  refused in words that nobody here knows: no use to repeat it at once, yet it may pass by itself
├── Waiting      right now is not possible, later is (a lock, a running task, no quorum, a node that is down)
├── Conflict     the guest is not what the plan was made from (digest, vmid taken): observe and plan again
└── Uncertain    the call may or may not have had its effect (lost answer, timeout): look before doing anything
"""


class EngineError(Exception):
    """`message` says what happened and where; `advice` what to do next. Neither ever holds a secret."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} — {self.advice}" if self.advice else self.message


class Stalled(EngineError):
    """Only a person can mend it."""


class NotLetIn(Stalled):
    """The credentials are wrong, expired or disabled."""


class Unexplained(Stalled):
    """Proxmox did not do it, in words that are not known: perhaps a person must act, perhaps it passes."""


class Waiting(EngineError):
    """It mends itself; `after` is the number of seconds to wait before the next look."""

    def __init__(self, message: str, advice: str = "", after: float = 1.0) -> None:
        super().__init__(message, advice)
        self.after = after


class Conflict(EngineError):
    """The world moved; plan again."""


class Uncertain(EngineError):
    """No answer; the effect is unknown."""
