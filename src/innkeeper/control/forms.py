"""A new or changed guest as a form holds it, and what a form may offer. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from innkeeper.control.ports import FileChange
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import AllowedRange, GuestKind, Ref
from innkeeper.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Form:
    """What a person fills in. Empty text and None: not said, so that profile and cluster decide.

    `memory` in MiB, `disk` in GiB; `address` with its prefix length; `template` a container's template, or the name or
    vmid of the virtual machine to clone. `original` is the guest that is edited (`Container/web`); empty: a new one.
    """

    source: str
    kind: GuestKind = "Container"
    name: str = ""
    profile: str = ""
    cluster: str = ""
    hostname: str = ""
    description: str = ""
    node: str = ""
    storage: str = ""
    template: str = ""
    cores: int | None = None
    memory: int | None = None
    disk: int | None = None
    start: bool = True
    start_on_boot: bool = True
    network: Literal["dhcp", "static"] = "dhcp"
    address: str = ""
    gateway: str = ""
    bridge: str = ""
    vlan: int | None = None
    expose: bool = False
    domain: str = ""
    port: int | None = None
    public: bool = False
    auth: bool = False
    monitoring: bool = False
    protected: bool = False
    ssh_keys: tuple[str, ...] = ()
    original: str = ""

    @property
    def ref(self) -> Ref:
        return Ref(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What exists on one cluster. `problem` says why it could not be asked; the lists are empty then."""

    name: str
    nodes: tuple[str, ...] = ()
    storages: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    """Container templates by their short names (`debian-12`)."""
    machines: tuple[str, ...] = ()
    """Virtual machines that are templates, by name."""
    next_vmid: int | None = None
    next_address: str = ""
    """A free address with its prefix length, in the network that most guests of the cluster are in; empty: unknown."""
    gateway: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """`allowed` by field (`cpu.cores`, `rootDisk.size`); its defaults: `cores`, `memory` in MiB, `disk` in GiB."""

    name: str
    description: str
    kinds: tuple[GuestKind, ...]
    allowed: Mapping[str, AllowedRange] = field(default_factory=dict)
    cores: int | None = None
    memory: int | None = None
    disk: int | None = None
    packages: tuple[str, ...] = ()
    web_server: str = ""
    may_be_public: bool = False
    may_have_domain: bool = False
    actions: tuple[str, ...] = ()
    bundled: bool = False


@dataclass(frozen=True, slots=True)
class FormOptions:
    """What a form may offer for one source: only values that exist and are approved.

    `sources` are those that forms may write to. `pull`: changes go by a pull request.
    """

    source: str
    sources: tuple[str, ...] = ()
    clusters: tuple[ClusterOptions, ...] = ()
    profiles: tuple[ProfileOptions, ...] = ()
    below: str = ""
    pull: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a form; `field` is one of Form's, empty where it is the whole."""

    field: str
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that a form would do, before it does it. `plan` is None where the manifests could not be planned.

    `revision` is what it was made on; `service` the definition that will be published, where the guest is exposed;
    `actions` are the profile's post-create actions.
    """

    files: tuple[FileChange, ...]
    plan: Plan | None
    problems: tuple[Problem, ...] = ()
    revision: str = ""
    service: Mapping[str, object] = field(default_factory=dict)
    actions: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(item.diagnostic.severity == "error" for item in self.problems)
