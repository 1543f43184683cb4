"""A directory with a `container.env` to a Container: its machine, its network, what is mounted, what runs inside."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.formats.monorepo.layers import STEMS, Environment, environments
from innkeeper.manifests.formats.monorepo.mounts import Mounts, read_mounts
from innkeeper.manifests.formats.monorepo.shared import Shared, cluster, read_shared
from innkeeper.manifests.formats.monorepo.submodules import check_submodules
from innkeeper.manifests.formats.translated import Original, Traced
from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import Places, finding
from innkeeper.manifests.validation import described
from innkeeper.manifests.vocabulary import nearest
from innkeeper.model.applications import ENVIRONMENT, PROJECT
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

LIBS = "libs"
CONTROL_PLANE = "config"
"""What the container of the repository's root is called where it has no HOSTNAME: the cookbook that makes it."""
_KEYS = ("IP", "ID", "HOSTNAME", "CORES", "MEMORY", "SWAP", "DISK", "BOOT", "MOUNT")
_OTHERS = frozenset({"OS", "SHARE", "TERMINATE"})
"""Words of the original that are neither a setting here nor a slip."""
_DISK = re.compile(r"((?P<storage>[^:,=\s]+):)?(?P<size>\d+)")
_SWITCH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_LOWEST = 100
_MACHINE = re.compile(r"^\s*(export\s+)?(IP|ID)\s*=", re.MULTILINE)
"""What tells a container's file from a `config.env` of anything else."""
_VARIABLE = re.compile(r"[a-z_][a-z0-9_]*")
_PASSWORD = re.compile(r"""['":]password\b""")
_SHARE = "share"
_WORDS = {"IP": "network.0.ip", "ID": "vmid", "HOSTNAME": "hostname", "CORES": "cpu.cores", "MEMORY": "memory"} | {
    "SWAP": "swap",
    "DISK": "rootDisk",
    "BOOT": "startOnBoot",
}


def is_monorepo(tree: Tree) -> bool:
    """Whether containers are plainly declared here: at the root, or below `libs`."""
    places = [".", *(f"{LIBS}/{name}" for name in tree.directories(LIBS))] if tree.has(LIBS) else ["."]
    files = (f"{place}/{stem}.env" for place in places for stem in STEMS)
    return any(_is_machine(tree.text(file)) for file in files if tree.has(file))


def _is_machine(text: str | None) -> bool:
    """What cannot be read could declare a container, and must not be passed over."""
    return text is None or _MACHINE.search(text) is not None


def translate(tree: Tree) -> Iterator[Draft | Diagnostic]:
    """Every container of the repository, its stages, and the cluster that its config.json names."""
    shared, found = read_shared(tree)
    yield from found
    yield from cluster(shared, str(tree.root))
    yield from check_submodules(tree, LIBS)
    for directory in (".", *(f"{LIBS}/{name}" for name in tree.directories(LIBS))):
        configured, wrong = _own(tree, directory)
        yield from wrong
        for item in environments(tree, directory):
            if isinstance(item, Diagnostic):
                yield item
            else:
                yield from _Container(tree, shared, directory, item, configured).drafts()


def _frozen(value: object) -> object:
    """The same data with tuples for lists, as manifests have it."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {key: _frozen(item) for key, item in value.items()} if isinstance(value, dict) else value


@dataclass(frozen=True, slots=True)
class _Own:
    """What configures a container: roles of its own by their paths, and whether they read the shared password."""

    roles: tuple[str, ...] = ()
    password: bool = False


def _own(tree: Tree, directory: str) -> tuple[_Own, tuple[Diagnostic, ...]]:
    if directory == ".":
        return _Own(), ()
    tasks = any(tree.has(f"{directory}/tasks/main.{end}") for end in ("yml", "yaml"))
    recipe = tree.has(f"{directory}/recipes/default.rb")
    if tasks and recipe:
        place = Origin(Location(tree.file(f"{directory}/recipes/default.rb")))
        advice = "Keep one of them, or make a container each."
        return _Own(), (finding("DuplicateFile", place, "", "tasks/main.yml stands beside this recipe", advice),)
    if recipe:
        texts = (tree.text(file) or "" for file in _ruby(tree, directory))
        return _Own((directory,), any(_PASSWORD.search(text) for text in texts)), ()
    if tasks:
        return _Own((directory,)), ()
    below = (f"{directory}/roles/{name}" for name in tree.directories(f"{directory}/roles"))
    return _Own(tuple(role for role in below if tree.has(f"{role}/tasks") or tree.has(f"{role}/recipes"))), ()


def _ruby(tree: Tree, directory: str) -> Iterator[str]:
    for part in (f"{directory}/recipes", f"{directory}/attributes"):
        yield from (f"{part}/{name}" for name in tree.files(part) if name.endswith(".rb"))


@dataclass
class _Container:
    tree: Tree
    shared: Shared
    directory: str
    env: Environment
    own: _Own
    found: list[Diagnostic] = field(default_factory=list)

    def drafts(self) -> Iterator[Draft | Diagnostic]:
        spec = self._spec()
        yield from self.found
        if any(item.severity == "error" for item in self.found):
            return
        labels = {PROJECT: self._plain_name} | ({ENVIRONMENT: self.env.stage} if self.env.stage else {})
        moves: dict[str, tuple[Places, str]] = {
            f"spec.{path}": (self.env.layer(key), key) for key, path in _WORDS.items() if self.env.get(key)
        }
        moves |= {f"spec.{part}": (self.env.layer("MOUNT"), "MOUNT") for part in ("mounts", "features", "options")}
        for word, path in {"gateway": "network.0.gateway", "bridge": "network.0.bridge"}.items():
            if (place := self.shared.place(word)) is not None:
                moves[f"spec.{path}"] = place
        for word in ("template", "node"):
            if (place := self.shared.place(word)) is not None:
                moves[f"spec.{word}"] = place
        whole = Location(self.env.own.file, 1)
        base = str(self.tree.root)
        yield from Original("Container", self._name, spec, Traced(whole, moves), labels, base=base).drafted()

    @property
    def _plain_name(self) -> str:
        if self.directory == ".":
            return self.env.layers[-1].values.get("HOSTNAME", "").strip() or CONTROL_PLANE
        return self.directory.rpartition("/")[2]

    @property
    def _name(self) -> str:
        return f"{self.env.stage}-{self._plain_name}" if self.env.stage else self._plain_name

    def _spec(self) -> dict[str, object]:
        mounts, wrong = read_mounts(self.env.get("MOUNT"), self.env.at("MOUNT"))
        self.found += wrong
        self._unknown_words()
        spec: dict[str, object] = {
            "vmid": self._vmid(),
            "hostname": self._hostname(),
            "cpu": {"cores": self._number("CORES")} if self.env.get("CORES") else None,
            "memory": self._quantity("MEMORY"),
            "swap": 0 if self.env.get("SWAP") == "0" else self._quantity("SWAP"),
            "rootDisk": self._disk(),
            "network": self._network(),
            "startOnBoot": self._switch("BOOT"),
            "running": True,
            "unprivileged": not mounts.shares,
            "mounts": tuple(mounts.points) or None,
            "options": {f"dev{index}": path for index, path in enumerate(mounts.devices)} or None,
            "features": {"mount": ("cifs",)} if mounts.shares else None,
            "template": self.shared.word("template") or None,
            "node": self.shared.word("node") or None,
            "sshKeys": self._keys(),
            "configure": {"roles": tuple(self._roles(mounts))},
        }
        return {name: value for name, value in spec.items() if value is not None}

    def _say(self, code: str, key: str, problem: str, advice: str, *, error: bool = True) -> None:
        severity = "error" if error else "warning"
        self.found.append(finding(code, self.env.at(key), "", problem, advice, severity))  # type: ignore[arg-type]

    def _unknown_words(self) -> None:
        for key in self.env.keys:
            near = nearest(key, _KEYS) if key not in _KEYS and key not in _OTHERS else None
            if near is not None:
                advice = "As it is, it is handed to the container's own configuration as a variable."
                self._say("UnknownField", key, f"{key} is no setting of a container; {near} is", advice, error=False)

    def _number(self, key: str) -> int | None:
        text = self.env.get(key)
        if not text:
            return None
        if not text.isascii() or not text.isdecimal() or len(text) > 12:
            self._say("BadValue", key, f"{key}={described(text)} is not a whole number", f"Write {key}=2048, say.")
            return None
        return int(text)

    def _vmid(self) -> int | None:
        number = self._number("ID")
        if number is not None and number < _LOWEST:
            problem = f"ID={number}: Proxmox VE keeps the ids below {_LOWEST} for itself and refuses them"
            advice = f"Write ID={number + _LOWEST}, or any free id from {_LOWEST}; without ID the container gets one."
            self._say("OutOfRange", "ID", problem, advice)
            return None
        if self.env.stage and self.env.layer("ID") is not self.env.own:
            return None  # two guests cannot share one
        return number

    def _hostname(self) -> str:
        if self.env.stage:
            own = self.env.own.values.get("HOSTNAME", "").strip()
            return own or f"{self.env.stage}-{self._plain_name}"
        return self.env.get("HOSTNAME") or self._plain_name

    def _quantity(self, key: str) -> str | None:
        number = self._number(key)
        return None if number is None else f"{number}Mi"

    def _disk(self) -> dict[str, object] | None:
        text = self.env.get("DISK")
        if not text:
            return None
        match = _DISK.fullmatch(text)
        if match is None:
            advice = "Write DISK=STORAGE:GB, such as DISK=local-lvm:8."
            self._say("BadValue", "DISK", f"DISK={described(text)} is not a storage with a size in GB", advice)
            return None
        size = {"size": f"{match['size']}Gi"}
        return {"storage": match["storage"], **size} if match["storage"] else {**size}

    def _network(self) -> tuple[dict[str, object], ...] | None:
        address = self.env.get("IP")
        if not address:
            self._say("MissingField", "IP", "the container has no IP", "Write IP=ADDRESS, or IP=dhcp.")
            return None
        if self.env.stage and self.env.layer("IP") is not self.env.own and address != "dhcp":
            advice = f"Write IP=ADDRESS into {self.env.own.file}."
            self._say("MissingField", "IP", f"the stage {self.env.stage} has no IP of its own", advice)
        nic: dict[str, object] = {"name": self.shared.word("interface") or "eth0"}
        nic["bridge"] = self.shared.word("bridge") or "vmbr0"
        static = address not in ("dhcp", "manual")
        nic["ip"] = f"{address}/{self._mask()}" if static and "/" not in address else address
        if static and (gateway := self.shared.word("gateway")):
            nic["gateway"] = gateway
        return (nic,)

    def _mask(self) -> str:
        mask = self.shared.word("mask") or "24"
        if "." in mask:
            try:
                return str(IPv4Network(f"0.0.0.0/{mask}").prefixlen)
            except ValueError:
                pass  # the address will not be one, either
        return mask.removeprefix("/")

    def _switch(self, key: str) -> bool | None:
        text = self.env.get(key)
        if text and text.lower() not in _SWITCH:
            self._say("BadValue", key, f"{key}={described(text)} is neither yes nor no", f"Write {key}=yes.")
        return _SWITCH.get(text.lower())

    def _keys(self) -> tuple[str, ...] | None:
        key = self.shared.word("pub")
        return (key,) if key else None

    def _roles(self, mounts: Mounts) -> Iterator[dict[str, object]]:
        yield {"role": "base"}
        if mounts.shares:
            yield {"role": _SHARE, "vars": self._share(mounts.shares)}
        for role in self.own.roles:
            yield {"role": role, "vars": self._variables()}

    def _share(self, names: list[str]) -> Mapping[str, object]:
        host = str(self.shared.variables.get("HOST") or "") or self._address_of_share()
        if not host:
            problem = "MOUNT names a share, but not who serves it"
            advice = 'Write "HOST": "ADDRESS" into globals.json, or add a container libs/share.'
            self._say("MissingField", "MOUNT", problem, advice)
        password = {"secretRef": {"name": "env", "key": "PASSWORD"}}
        return {"share_host": host, "share_names": tuple(names), "share_login": self._login, "share_password": password}

    def _address_of_share(self) -> str:
        """The address of the container that serves shares: by its name, else the control plane's own."""
        for directory in (f"{LIBS}/{_SHARE}", "."):
            first = next(iter(environments(self.tree, directory)), None)
            if isinstance(first, Environment) and directory != self.directory and first.get("IP"):
                return first.get("IP").partition("/")[0]
        return ""

    @property
    def _login(self) -> str:
        return self.shared.word("login")

    def _variables(self) -> Mapping[str, object]:
        """What the container's own configuration may ask for: shared variables, then its own; names in lower case."""
        found: dict[str, object] = {}
        for key, value in (*self.shared.variables.items(), *((key, self.env.get(key)) for key in self.env.keys)):
            if _VARIABLE.fullmatch(key.lower()):
                found[key.lower()] = _frozen(value)
        found["hostname"] = self._hostname()
        for name in ("login", "email"):
            if value := self.shared.word(name):
                found[name] = value
        if self.own.password:
            found["password"] = {"secretRef": {"name": "env", "key": "PASSWORD"}}
        return found
