"""Where desired state comes from: a git repository's path, with what its manifests may do here."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from innkeeper.model.base import Name, Plain, Value
from innkeeper.model.objects import Origin, SecretSource

Duration = Annotated[
    str,
    StringConstraints(pattern=r"^\d+(s|m|h|d)$"),
    Field(description="a time such as 30s, 3m, 12h or 7d"),
]
GitUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^(https://[^\s@]+|http://(127\.0\.0\.1|localhost|\[::1\])[^\s@]*|ssh://[^\s]+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\s]+|/[^\s]*)$"
    ),
    Field(description="https://…, ssh://…, user@host:path or an absolute local path; credentials never stand in it"),
]
Format = Literal["native", "container-monorepo", "app-projects", "proxnix", "vitistack"]
"""What a source's files are written for; left out: as they plainly are."""
RELEASE = "release"
"""The branch of a container monorepo that is deployed."""
BESIDE = ("snapshot", "rollback", "main")
"""Branches that have a role beside it, in the order that they are looked at. Source: Proxmox-GitOps, its branches."""
Permission = Literal[
    "clusters",
    "adopt",
    "roles",
    "privileged",
    "bindMounts",
    "devices",
    "hookscripts",
    "args",
    "raw",
    "secrets",
    "images",
    "controlPlane",
]
"""What a repository's writer could use to rise above the guests: each must be allowed by name.

`clusters` may declare Clusters of its own, `adopt` may take over guests that somebody else made, `roles` may bring its
own Ansible code (it runs as Innkeeper), `secrets` may read the stores that it declares itself (the server's files and
environment), `images` may have nodes download files and the server build them, `controlPlane` may install servers by
the role `innkeeper`, with this server's keys, and hold the Source and Server manifests that these are told.
"""


class GitCredentials(Value):
    """A user with a password or token, or an SSH key with the hosts' known keys."""

    username: Plain | None = None
    password: SecretSource | None = None
    ssh_key: SecretSource | None = None
    known_hosts: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "GitCredentials":
        if (self.password is None) == (self.ssh_key is None):
            raise ValueError("name exactly one of password (with username) and sshKey")
        return self


class Webhook(Value):
    """`secret` is what the sender signs with; without it webhooks of the source are refused."""

    secret: SecretSource


class ForgeSpec(Value):
    """The forge that the repository lives on: for commit statuses and the comment on a pull request."""

    type: Literal["github", "gitlab", "gitea", "forgejo", "bitbucket"]
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s@]+$")] | None = None
    repository: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$")] | None = None
    token: SecretSource


class SnapshotSchedule(Value):
    """Snapshots of every guest of the source: how often, and how many are kept."""

    every: Duration
    keep: Annotated[int, Field(ge=1, le=100)] = 7


class SourceSpec(Value):
    """`sync: manual` waits for a person at every change; `auto` only where impact is replace or data-loss."""

    url: GitUrl
    branch: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "main"
    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._][A-Za-z0-9._/ -]*$")] = "."
    format: Format | None = None
    credentials: GitCredentials | None = None
    interval: Duration = "3m"
    sync: Literal["auto", "manual"] = "auto"
    prune: bool = False
    max_deletes: Annotated[int, Field(ge=0)] = 3
    suspend: bool = False
    self_heal: bool = True
    clusters: tuple[Name, ...] | None = None
    """Which of the server's clusters its manifests may name; None: every one."""
    allow: tuple[Permission, ...] = ()
    webhook: Webhook | None = None
    forge: ForgeSpec | None = None
    propose: bool = False
    """Forms open a pull request instead of committing to the branch (needs `forge`)."""
    write: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._][A-Za-z0-9._/-]*$")] | None = None
    """The directory below which forms may write manifests; None: forms may not write here."""
    snapshot_before: bool = False
    """Take a snapshot of a guest before a change with impact restart or graver."""
    snapshots: SnapshotSchedule | None = None

    @property
    def beside(self) -> tuple[str, ...]:
        """The branches that are followed beside `branch`: those of a container monorepo that is released."""
        return BESIDE if self.format == "container-monorepo" and self.branch == RELEASE else ()


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    spec: SourceSpec
    origin: Origin
