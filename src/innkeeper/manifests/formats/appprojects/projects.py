"""`app_projects` to Applications (containers) or VirtualMachines, and `proxmox_*` to the Cluster."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.formats.appprojects.project import KEYS, PORTS, REPOSITORY, Project
from innkeeper.manifests.formats.appprojects.variables import PROJECTS, Secret, Variables, declaring, read_variables
from innkeeper.manifests.formats.translated import Original, Traced
from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import Places, finding
from innkeeper.manifests.validation import described
from innkeeper.manifests.vocabulary import nearest
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

_PORT = 8006
_ELSEWHERE = frozenset(
    {PROJECTS, "proxmox_password", "proxmox_api_password", "proxmox_token_secret", "proxmox_api_token_secret"}
    | {"proxmox_validate_certs"}
)
"""Variables that nobody asks for: secrets come from the environment, certificates are always checked."""
_KNOWN = frozenset({"envs", "role", "branch", "env_vars", *PORTS.values(), *REPOSITORY, *KEYS})
_KNOWN_ENV = frozenset({"name", "vmid", "ip", "gateway", "branch", "env_vars", *PORTS.values()})
Raw = Mapping[str, object]


def is_inventory(tree: Tree) -> bool:
    return bool(declaring(tree))


def translate(tree: Tree) -> Iterator[Draft | Diagnostic]:
    """The projects of the only inventory that declares some."""
    found = declaring(tree)
    if len(found) != 1:
        many = f"{', '.join(found)} each declare {PROJECTS}" if found else f"no inventory here declares {PROJECTS}"
        yield finding("NoManifests", Origin(Location(str(tree.root))), "", many, "Name one inventory's directory.")
        return
    variables = read_variables(tree, found[0])
    items = list(_Inventory(tree, variables).items())
    yield from variables.problems
    yield from items
    yield from _never_asked(variables)


def _never_asked(variables: Variables) -> Iterator[Diagnostic]:
    """Variables that look like ours and that nothing was made of."""
    kind = "kvm" if "kvm_template" in variables.asked else "lxc"
    ours = re.compile(rf"(proxmox|app|{kind})_\w+")
    for name in variables.values:
        if ours.fullmatch(name) and name not in variables.asked and name not in _ELSEWHERE:
            near = nearest(name, variables.asked)
            advice = f"Did you mean {near}?" if near else "Innkeeper leaves it to Ansible."
            yield finding("NotTranslated", variables.origin(name), name, "nothing is made of this", advice, "warning")


@dataclass
class _Inventory:
    tree: Tree
    variables: Variables

    def items(self) -> Iterator[Draft | Diagnostic]:
        yield from self._cluster()
        projects = self.variables.values.get(PROJECTS)
        if not isinstance(projects, Mapping):
            if PROJECTS in self.variables.values:
                problem = f"expected a map, found {described(projects)}"
                yield finding(
                    "WrongType", self.variables.origin(PROJECTS), PROJECTS, problem, "Write projects below it."
                )
            return
        for name, project in projects.items():
            path = f"{PROJECTS}.{name}"
            environments = project.get("envs") if isinstance(project, Mapping) else None
            if not isinstance(environments, Mapping) or not all(isinstance(e, Mapping) for e in environments.values()):
                advice = "Write envs: {dev: {name: …, vmid: …, ip: …}}."
                yield finding("MissingField", self.variables.origin(path), f"{path}.envs", "no environments", advice)
            else:
                yield from self._project(name, project, environments, path)

    def _text(self, name: str, default: str = "") -> str:
        value = self.variables.get(name, default)
        return "" if isinstance(value, Secret) else str(value)

    def _cluster(self) -> Iterator[Draft | Diagnostic]:
        host = self.variables.get("proxmox_host")
        if host is None:
            return
        place = self.variables.origin("proxmox_host")
        user = self.variables.get("proxmox_user", "root@pam")
        if isinstance(host, Secret) or isinstance(user, Secret):
            problem = "the cluster's address and user are in the vault, which is not opened to read manifests"
            advice = "Declare it in a manifest of kind: Cluster beside the inventory."
            yield finding("NotTranslated", place, "proxmox_host", problem, advice, "warning")
            return
        address = str(host) if ":" in str(host) else f"{host}:{self._text('proxmox_port', str(_PORT))}"
        names = {"spec.endpoints": "proxmox_host", "spec.credentials": "proxmox_user"}
        passages = self.variables.passages
        moves: dict[str, tuple[Places, str]] = {
            path: (passages[name], name) for path, name in names.items() if name in passages
        }
        spec: dict[str, object] = {
            "endpoints": (f"https://{address}",),
            "credentials": self._credentials(str(user)),
        }
        traced = Traced(place.at("proxmox_host"), moves)
        yield from Original("Cluster", "proxmox", spec, traced, base=str(self.tree.root)).drafted()

    def _credentials(self, user: str) -> dict[str, object]:
        token = self._text("proxmox_token_id") or self._text("proxmox_api_token_id")
        if not token and not any(
            name in self.variables.values for name in ("proxmox_password", "proxmox_api_password")
        ):
            token = "innkeeper" if "proxmox_token_secret" in self.variables.values else ""
        if token:
            token = token if "!" in token else f"{user}!{token}"
            return {"tokenID": token, "tokenSecret": {"env": "PROXMOX_TOKEN_SECRET"}}
        return {"username": user, "password": {"env": "PROXMOX_PASSWORD"}}

    def _project(
        self, name: str, project: Raw, environments: Mapping[str, Raw], path: str
    ) -> Iterator[Draft | Diagnostic]:
        yield from self._unknown(project, _KNOWN, path)
        for word, own in environments.items():
            yield from self._unknown(own, _KNOWN_ENV, f"{path}.envs.{word}")
        kind = self._text("proxmox_guest_type", "lxc").lower()
        if kind not in ("lxc", "kvm"):
            origin = self.variables.origin("proxmox_guest_type")
            problem = f"{described(kind)} is neither lxc nor kvm"
            yield finding("UnknownValue", origin, "proxmox_guest_type", problem, "Allowed: lxc, kvm.")
            return
        made = Project(self.tree, self.variables, name, project, environments, path)
        for original in (made.application(),) if kind == "lxc" else made.machines():
            yield from original.drafted()

    def _unknown(self, raw: Raw, known: frozenset[str], path: str) -> Iterator[Diagnostic]:
        for key in raw:
            if key not in known:
                problem = "Innkeeper's roles do not know this variable"
                advice = "Where a role of your own does, convert the inventory and call that role."
                yield finding("NotTranslated", self.variables.origin(path), f"{path}.{key}", problem, advice, "warning")
