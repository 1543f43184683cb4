"""The variables that an inventory gives to all hosts, with their files; secrets of its vault stay references."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import Passage, finding
from innkeeper.manifests.validation import described
from innkeeper.manifests.yamltext import documents
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

PROJECTS = "app_projects"
STORE = "vault"
_HEADER = "$ANSIBLE_VAULT;"
_OF_VAULT = "vault_"
_READ = re.compile(rf"({PROJECTS}|(proxmox|lxc|kvm|app|appuser|base_os)_\w+)(\.|$)")
"""The variables that this format reads; what stands in others is Ansible's alone."""
_WHOLE = re.compile(r"\{\{\s*(?P<name>[A-Za-z_]\w*)\s*(\|[^{}]*)?\}\}")
_LOOKUP = re.compile(
    r"""\{\{\s*lookup\(\s*['"](ansible\.builtin\.)?env['"]\s*,\s*['"](?P<name>\w+)['"]\s*\)[^{}]*\}\}"""
)
_MARK = re.compile(r"\{[{%]")
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by its place: a key of the vault, or of the environment (`store` is `env`)."""

    store: str
    key: str

    @property
    def ref(self) -> dict[str, object]:
        return {"secretRef": {"name": self.store, "key": self.key}}


@dataclass
class Variables:
    """`values` are as written; `vaults` the encrypted files by their paths, `usual` where one is looked for."""

    usual: str
    values: dict[str, object] = field(default_factory=dict)
    passages: dict[str, Passage] = field(default_factory=dict)
    vaults: list[str] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    """The variables that were asked for."""

    def origin(self, path: str) -> Origin:
        """Where a variable, or a part of one, stands."""
        passage = self.passages[path.partition(".")[0]]
        return Origin(Location(passage.file, passage.first_line), passage.locate)

    def get(self, name: str, default: object = None) -> object:
        """A variable with references to others followed; `default` where it is not given."""
        self.asked.add(name)
        value = self.resolve(self.values.get(name), name)
        return default if value is None or value == "" else value

    def resolve(self, value: object, path: str, depth: int = 0) -> object:
        """A value in which `{{ other }}` is another variable, or a Secret. What is more than that is a problem."""
        if not isinstance(value, str) or not _MARK.search(value):
            return value
        if (looked := _LOOKUP.fullmatch(value.strip())) is not None:
            return Secret("env", looked["name"])
        whole = _WHOLE.fullmatch(value.strip())
        if whole is not None and depth < _DEEPEST:
            name = whole["name"]
            if name in self.values and not _is_secret(self.values[name]):
                return self.resolve(self.values[name], name, depth + 1)
            if self.vaults or name.startswith(_OF_VAULT):
                return Secret(STORE, name)
        problem = f"{described(value)} is a template that only Ansible can fill in"
        advice = "Write the value, or the name of one variable in {{ }}."
        self.problems.append(finding("Unresolved", self.origin(path), path, problem, advice))
        return None

    def stores(self, tree: Tree) -> dict[str, object]:
        """The secret store of the vault, as a manifest declares it; none where nothing refers to one."""
        written = str(self.values)
        if not self.vaults and _OF_VAULT not in written:
            return {}
        store: dict[str, object] = {"vault": next(iter(self.vaults), self.usual)}
        if (password := _password_file(tree)) is not None:
            store["vaultPasswordFile"] = password
        return {STORE: store}


def read_variables(tree: Tree, group_vars: str) -> Variables:
    """All files of `group_vars/all`; later ones over earlier ones, as Ansible reads them."""
    found = Variables(f"{group_vars}/all/vault.yml")
    for file in files_for_all(tree, group_vars):
        text = tree.text(file)
        if text is None:
            continue
        if text.startswith(_HEADER):
            found.vaults.append(file)
            continue
        _take(tree, file, text, found)
    if len(found.vaults) > 1:
        place = Origin(Location(tree.file(found.vaults[1]), 1))
        problem = f"{found.vaults[0]} is encrypted, too, and it cannot be told which of them holds a secret"
        found.problems.append(finding("DuplicateFile", place, "", problem, "Keep all secrets of an inventory in one."))
    return found


def files_for_all(tree: Tree, group_vars: str) -> list[str]:
    found = [f"{group_vars}/all{end}" for end in ("", ".yml", ".yaml") if f"all{end}" in tree.files(group_vars)]
    inner = (name for name in tree.files(f"{group_vars}/all") if name.endswith((".yml", ".yaml", "vault")))
    return found + [f"{group_vars}/all/{name}" for name in inner if "example" not in name]


def _take(tree: Tree, file: str, text: str, found: Variables) -> None:
    for document in documents(text):
        passage = Passage(tree.file(file), text, document.start, document.end, document.line)
        for item in document.problems:
            if item.code == "TagRefused" and "!vault" in item.problem:
                continue
            if not item.path or _READ.match(item.path):
                place = Origin(Location(tree.file(file), item.line, item.column))
                found.problems.append(finding(item.code, place, item.path, item.problem, item.advice))
        if not isinstance(document.value, Mapping):
            continue
        for name, value in document.value.items():
            found.values[name], found.passages[name] = value, passage
            if _is_secret(value) and file not in found.vaults:
                found.vaults.append(file)


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and value.startswith(_HEADER)


def _password_file(tree: Tree) -> str | None:
    """Where `ansible.cfg` says that the vault's password is."""
    for line in (tree.text("ansible.cfg") or "").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "vault_password_file" and value.strip():
            return value.strip()
    return None


def group_vars(tree: Tree) -> Iterator[str]:
    """Every directory that may hold an inventory's variables."""
    bases = [".", "inventory", "inventories", "ansible", "ansible/inventory", "ansible/inventories"]
    bases += [f"{base}/{name}" for base in bases[1:] if tree.has(base) for name in tree.directories(base)]
    for base in dict.fromkeys(bases):
        path = f"{base}/group_vars" if base != "." else "group_vars"
        if tree.has(path):
            yield path


def declaring(tree: Tree) -> list[str]:
    """Those of them that name projects."""
    return [
        path
        for path in group_vars(tree)
        if any(
            re.search(rf"^{PROJECTS}\s*:", tree.text(file) or "", re.MULTILINE) for file in files_for_all(tree, path)
        )
    ]
