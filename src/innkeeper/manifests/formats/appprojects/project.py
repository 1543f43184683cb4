"""One project of an inventory: an Application of containers, or a virtual machine for each of its environments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from innkeeper.manifests.formats.appprojects.variables import Secret, Variables
from innkeeper.manifests.formats.translated import Original, Traced
from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import Places
from innkeeper.model.applications import ENVIRONMENT, PROJECT

REPOSITORY = ("repo", "repo_url", "repository", "git_repo")
KEYS = ("deploy_key", "git_key")
PORTS = {"backend": "backend_port", "frontend": "frontend_port", "app": "app_port"}
_DEFAULT_PORTS = {"backend": 3001, "frontend": 3000}
_PYTHON = "pote"
"""The role (or the project) that is a Python application; every other one is Node.js."""
_SWITCHES = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
Raw = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Project:
    """`path` is where the project stands: `app_projects.shop`."""

    tree: Tree
    variables: Variables
    name: str
    raw: Raw
    environments: Mapping[str, Raw]
    path: str

    def application(self) -> Original:
        """The project as an Application. net0 is as documented: `name=eth0,bridge=…,firewall=1,ip=…,gw=…`."""
        nic: dict[str, object] = {"name": "eth0", "bridge": self._setting("lxc_bridge", "vmbr0"), "firewall": True}
        spec = {
            "node": self._setting("proxmox_node", "pve"),
            "template": self._setting("lxc_ostemplate") or self._setting("lxc_template"),
            **self._size("lxc"),
            "swap": self._megabytes("lxc_swap_mb"),
            "rootDisk": self._disk("lxc"),
            "network": (nic,),
            "unprivileged": self._switch("lxc_unprivileged", default=True),
            "running": self._switch("lxc_start_after_create", default=True),
            "startOnBoot": self._switch("lxc_onboot"),
            "sshKeys": self._keys("lxc_pubkey"),
            "repository": self._repository(),
            "branch": self._own("branch"),
            "env": self._env(self.raw, self.path),
            "ports": self._ports(self.raw),
            "configure": self._configure([{"role": role} for role in self._roles]),
            "environments": {_name(word): self._environment(word, own) for word, own in self.environments.items()},
        }
        return Original("Application", _name(self.name), _given(spec), self._traced(), base=str(self.tree.root))

    def machines(self) -> Iterator[Original]:
        """A virtual machine for each environment, cloned from the template that `kvm_template` names."""
        for word, own in self.environments.items():
            path = f"{self.path}.envs.{word}"
            address = {"ip": own.get("ip"), "gateway": own.get("gateway")}
            init = {"user": self._setting("app_bootstrap_user"), **address, "sshKeys": self._keys("lxc_pubkey")}
            spec = {
                "node": self._setting("proxmox_node", "pve"),
                "vmid": own.get("vmid"),
                "hostname": own.get("name"),
                "clone": _given({"template": self._setting("kvm_template")}),
                **self._size("kvm"),
                "network": ({"bridge": self._setting("kvm_bridge", "vmbr0"), "firewall": True},),
                "cloudInit": _given(init),
                "agent": True,
                "running": self._switch("lxc_start_after_create", default=True),
                "configure": self._configure(list(self._calls(word, own))),
            }
            passage = self.variables.passages[self.path.partition(".")[0]]
            moves: dict[str, tuple[Places, str]] = {"spec.vmid": (passage, f"{path}.vmid")}
            moves |= {f"spec.cloudInit.{field}": (passage, f"{path}.{field}") for field in ("ip", "gateway")}
            whole = self.variables.origin(path).at(path)
            labels = {PROJECT: _name(self.name), ENVIRONMENT: _name(word)}
            name = str(own.get("name") or f"{self.name}-{word}")
            traced = Traced(whole, moves | {"spec.hostname": (passage, f"{path}.name")})
            yield Original("VirtualMachine", name, _given(spec), traced, labels, base=str(self.tree.root))

    @property
    def _roles(self) -> tuple[str, ...]:
        python = _PYTHON in (self.name, self.raw.get("role"))
        return ("base", "base_os", "python_app" if python else "app_setup")

    def _calls(self, word: str, own: Raw) -> Iterator[dict[str, object]]:
        """The roles of a machine with all that an Application would say to them."""
        *first, deploying = self._roles
        ports = {**({} if deploying == "python_app" else _DEFAULT_PORTS), **self._ports(self.raw), **self._ports(own)}
        repository = self._repository() or {}
        variables = {
            "name": _name(self.name),
            "environment": _name(word),
            "repository": repository.get("url"),
            "key": repository.get("key"),
            "branch": own.get("branch") or self._own("branch"),
            "env": {**self._env(self.raw, self.path), **self._env(own, f"{self.path}.envs.{word}")},
        }
        variables |= {"port" if name == "app" else f"{name}_port": port for name, port in ports.items()}
        for role in first:
            yield {
                "role": role,
                "vars": {"base_os_ports": tuple(map(str, ports.values()))} if role == "base_os" else {},
            }
        yield {"role": deploying, "vars": {f"{deploying}_{name}": value for name, value in _given(variables).items()}}

    def _environment(self, word: str, own: Raw) -> dict[str, object]:
        path = f"{self.path}.envs.{word}"
        plain = {name: self._resolved(own.get(name), f"{path}.{name}") for name in ("name", "ip", "gateway", "branch")}
        vmid = self._resolved(own.get("vmid"), f"{path}.vmid")
        env, ports = self._env(own, path), self._ports(own)
        return _given({**plain, "vmid": _number(vmid), "env": env, "ports": ports})

    def _configure(self, roles: list[dict[str, object]]) -> dict[str, object]:
        user = self._setting("app_bootstrap_user", "root")
        return _given({"user": user, "roles": tuple(roles), "secrets": self.variables.stores(self.tree)})

    def _repository(self) -> dict[str, object] | None:
        url = next((found for name in REPOSITORY if (found := self._own(name))), None)
        key = next((self.variables.resolve(self.raw[name], self.path) for name in KEYS if name in self.raw), None)
        if url is None:
            return None
        return {"url": url} | ({"key": key.ref} if isinstance(key, Secret) else {})

    def _own(self, name: str) -> object:
        return self._resolved(self.raw.get(name), f"{self.path}.{name}")

    def _resolved(self, value: object, path: str) -> object:
        found = self.variables.resolve(value, path)
        return found.ref if isinstance(found, Secret) else found

    def _setting(self, name: str, default: object = None) -> object:
        found = self.variables.get(name, default)
        return found.ref if isinstance(found, Secret) else found

    def _env(self, raw: Raw, path: str) -> dict[str, object]:
        given = raw.get("env_vars")
        if not isinstance(given, Mapping):
            return {}
        return {name: self._resolved(value, f"{path}.env_vars.{name}") for name, value in given.items()}

    def _ports(self, raw: Raw) -> dict[str, object]:
        found = {name: _number(raw.get(theirs)) for name, theirs in PORTS.items() if raw.get(theirs) is not None}
        if raw is self.raw:
            for name in _DEFAULT_PORTS:
                shared = self.variables.get(f"app_{name}_port")
                if shared is not None:
                    found.setdefault(name, _number(shared))
        return found

    def _size(self, prefix: str) -> dict[str, object]:
        cores = self.variables.get(f"{prefix}_cores")
        return {
            "cpu": {"cores": _number(cores)} if cores is not None else None,
            "memory": self._megabytes(f"{prefix}_memory_mb"),
        }

    def _megabytes(self, name: str) -> object:
        value = _number(self.variables.get(name))
        return f"{value}Mi" if isinstance(value, int) and value else value

    def _disk(self, prefix: str) -> dict[str, object]:
        size = _number(self.variables.get(f"{prefix}_rootfs_size_gb"))
        return _given({"storage": self._setting(f"{prefix}_storage"), "size": f"{size}Gi" if size else None})

    def _switch(self, name: str, default: bool | None = None) -> object:
        value = self.variables.get(name, default)
        return _SWITCHES.get(value.lower(), value) if isinstance(value, str) else value

    def _keys(self, name: str) -> tuple[object, ...] | None:
        key = self.variables.get(name)
        return (key,) if isinstance(key, str) else None

    def _traced(self) -> Traced:
        passage = self.variables.passages[self.path.partition(".")[0]]
        moves: dict[str, tuple[Places, str]] = {
            "metadata.name": (passage, self.path),
            "spec.environments": (passage, f"{self.path}.envs"),
            "spec.env": (passage, f"{self.path}.env_vars"),
        }
        for word in self.environments:
            theirs, ours = f"{self.path}.envs.{word}", f"spec.environments.{_name(word)}"
            moves |= {ours: (passage, theirs), f"{ours}.env": (passage, f"{theirs}.env_vars")}
            moves |= {f"{ours}.ports.{name}": (passage, f"{theirs}.{port}") for name, port in PORTS.items()}
        moves |= {f"spec.ports.{name}": (passage, f"{self.path}.{port}") for name, port in PORTS.items()}
        moves |= {
            f"spec.repository.{'url'}": (passage, f"{self.path}.{name}") for name in REPOSITORY if name in self.raw
        }
        settings = {"node": "proxmox_node", "template": "lxc_ostemplate", "cpu": "lxc_cores", "memory": "lxc_memory_mb"}
        settings |= {"swap": "lxc_swap_mb", "sshKeys": "lxc_pubkey", "unprivileged": "lxc_unprivileged"}
        settings |= {"rootDisk.storage": "lxc_storage", "rootDisk.size": "lxc_rootfs_size_gb"}
        settings |= {"network.0.bridge": "lxc_bridge", "configure.user": "app_bootstrap_user"}
        for field, name in settings.items():
            if name in self.variables.passages:
                moves[f"spec.{field}"] = self.variables.passages[name], name
        return Traced(self.variables.origin(self.path).at(self.path), moves)


def _given(raw: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in raw.items() if value is not None and value not in ({}, ())}


def _name(word: str) -> str:
    """A word of an inventory as a name: `my_shop` is `my-shop`."""
    return word.lower().replace("_", "-")


def _number(value: object) -> object:
    """A number, also where it was written in quotes."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 18 else value
