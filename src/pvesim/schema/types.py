"""What a method of the Proxmox VE API accepts, as values: parameters with their limits, methods with their rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Check = tuple[object, ...]  # Proxmox's prefix notation: ("perm", path, (privs…), "any", 1), ("and", …), ("or", …)


class FormatError(Exception):
    """A value does not have its format. `errors` names the parts of a property string that are wrong."""

    def __init__(self, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errors = dict(errors or {})

    def __str__(self) -> str:
        """As Perl prints it: lines, the last one ended too."""
        return f"{self.message}\n" + "".join(f"{name}: {text}\n" for name, text in self.errors.items())


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter, or one key of a property string (`table` holds the keys of those that are property strings).

    `minimum` and `maximum` limit numbers, the lengths characters; `format` is Proxmox's name, or `:name` for a table
    that Proxmox leaves unnamed. `key` marks the default key; `alias` another name of `alias`, with the spelling used
    kept in `alias_as`. `when` is (property, its values) for parameters of one variant of an object.
    """

    name: str
    type: str
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    enum: tuple[str, ...] = ()
    pattern: str | None = None
    format: str | None = None
    table: Mapping[str, Param] | None = None
    default: str | None = None
    requires: str | None = None
    items: Param | None = None
    key: bool = False
    alias: str | None = None
    alias_as: str | None = None
    when: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `user` is "all" (whoever is logged in), "world" or None; without `user` and `check`: only root@pam.

    `params` has every index of numbered parameters (`net0` … `net31`); `required` the names that must be there.
    `open` allows parameters that are not listed. `protected` runs in pvedaemon; `proxyto` names the parameter with the
    node that runs it; `allow_token` False refuses API tokens.
    """

    verb: str
    path: str
    params: Mapping[str, Param]
    user: str | None = None
    check: Check | None = None
    protected: bool = False
    proxyto: str | None = None
    allow_token: bool = True
    open: bool = False
    required: tuple[str, ...] = field(default=())
