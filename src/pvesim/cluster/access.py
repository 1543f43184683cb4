"""Who may do what: users, tokens and the ACL (PVE::AccessControl, PVE::RPCEnvironment)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvesim.errors import ApiError

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster


@dataclass(frozen=True)
class Auth:
    """The caller: `userid` such as `root@pam`, `tokenid` the part after the `!` or None for a ticket."""

    userid: str
    tokenid: str | None = None

    @property
    def name(self) -> str:
        return f"{self.userid}!{self.tokenid}" if self.tokenid else self.userid

    @property
    def is_root(self) -> bool:
        """root@pam by ticket; a token of root@pam is not root@pam."""
        return self.name == "root@pam"


def allowed(cluster: Cluster, auth: Auth, path: str, privs: Iterable[str], *, any_of: bool = False) -> bool:
    return True


def check(cluster: Cluster, auth: Auth, path: str, privs: Iterable[str], *, any_of: bool = False) -> None:
    """ApiError 403 as Proxmox words it."""
    wanted = tuple(privs)
    if not allowed(cluster, auth, path, wanted, any_of=any_of):
        raise ApiError(403, f"Permission check failed ({path}, {'|'.join(wanted) if any_of else ', '.join(wanted)})")
