"""What a field allows, in words, read from the models' own JSON Schema; and the valid word nearest to a wrong one."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_PROXMOX_WORDS = {
    "onboot": "startOnBoot",
    "autostart": "startOnBoot",
    "ostemplate": "template",
    "image": "template",
    "rootfs": "rootDisk",
    "disk": "rootDisk",
    "net": "network",
    "nic": "network",
    "nics": "network",
    "networks": "network",
    "interfaces": "network",
    "mountpoints": "mounts",
    "volumes": "mounts",
    "nameserver": "nameservers",
    "searchdomain": "search",
    "domain": "search",
    "hwaddr": "mac",
    "macaddr": "mac",
    "gw": "gateway",
    "gw6": "gateway6",
    "tag": "vlan",
    "vlanTag": "vlan",
    "ro": "readOnly",
    "protection": "protected",
    "notes": "description",
    "sshPublicKeys": "sshKeys",
    "id": "vmid",
    "dependsOn": "needs",
    "bios": "firmware",
    "ostype": "osType",
    "boot": "bootOrder",
    "cpulimit": "limit",
    "cpuunits": "units",
    "importfrom": "importFrom",
    "storageClass": "storage",
    "ipAddress": "ip",
    "address": "ip",
    "started": "running",
    "state": "running",
    "cpus": "cores",
    "fullClone": "full",
}


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The valid word that was most likely meant, if any is near."""
    words = {_plain(name): name for name in valid}
    found = difflib.get_close_matches(_plain(word), words, n=1, cutoff=0.66)
    return words[found[0]] if found else None


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


@lru_cache(maxsize=16)
def vocabulary(model: type[BaseModel]) -> "Vocabulary":
    return Vocabulary(model.model_json_schema(by_alias=True))


class Vocabulary:
    """The fields of one model, asked by path; a list's index is one part of a path."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._definitions: dict[str, Schema] = schema.get("$defs", {})

    def node(self, path: Sequence[str]) -> Schema | None:
        """The schema of a field; None where there is no such field."""
        found: Schema | None = self._schema
        for part in path:
            found = self._child(found, part) if found is not None else None
        return found

    def _child(self, node: Schema, part: str) -> Schema | None:
        for choice in self._choices(node):
            if "properties" in choice:
                if part in choice["properties"]:
                    return dict(choice["properties"][part])
            elif choice.get("type") == "array" and part.isdigit():
                return dict(choice["items"])
            elif choice.get("type") == "object":
                others = [choice.get("additionalProperties"), *choice.get("patternProperties", {}).values()]
                return next((dict(one) for one in others if isinstance(one, dict)), {})
        return None

    def _choices(self, node: Schema) -> list[Schema]:
        """What a value may be, null left out and references followed."""
        if "$ref" in node:
            return self._choices(self._definitions[node["$ref"].rpartition("/")[2]])
        if "anyOf" in node and "description" not in node:
            return [one for part in node["anyOf"] for one in self._choices(part) if one.get("type") != "null"]
        return [node]

    def fields(self, path: Sequence[str]) -> list[str]:
        """The names that a map at this path may hold; empty where it holds free names or is none."""
        node = self.node(path)
        if node is None:
            return []
        return [name for choice in self._choices(node) for name in choice.get("properties", ())]

    def allowed(self, path: Sequence[str]) -> str:
        """A phrase that completes "expected …"."""
        node = self.node(path)
        if node is None:
            return "nothing here"
        return " or ".join(dict.fromkeys(_phrase(choice) for choice in self._choices(node)))

    def kinds(self, path: Sequence[str]) -> set[str]:
        """JSON Schema's names of the types that a field takes."""
        node = self.node(path)
        return {_type(choice) for choice in self._choices(node)} if node is not None else set()

    def enum(self, path: Sequence[str]) -> list[str]:
        node = self.node(path)
        return [str(word) for choice in self._choices(node or {}) for word in choice.get("enum", ())]

    def pattern(self, path: Sequence[str]) -> str | None:
        node = self.node(path)
        return next((choice["pattern"] for choice in self._choices(node or {}) if "pattern" in choice), None)

    def meant(self, path: Sequence[str], word: str) -> str | None:
        """The field (as a path from the root) that `word` at `path` most likely stands for."""
        here = self.fields(path)
        exact = {_plain(name): name for name in here}.get(_plain(word))
        translated = _PROXMOX_WORDS.get(word) or _PROXMOX_WORDS.get(word.rstrip("0123456789"))
        if exact is None and translated in here:
            exact = translated
        if exact is not None:
            return ".".join((*path, exact))
        deeper = [found for found in self._everywhere((), 0) if found[-1] in (word, translated)]
        near = nearest(word, here)
        if deeper and (near is None or difflib.SequenceMatcher(None, near.lower(), word.lower()).ratio() < 0.8):
            return ".".join(sorted(deeper, key=len)[0])
        return ".".join((*path, near)) if near else None

    def _everywhere(self, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, ...]]:
        for name in self.fields(path):
            field = (*path, name)
            yield field
            if depth < 2:
                yield from self._everywhere(field, depth + 1)


def _type(choice: Schema) -> str:
    if "enum" in choice or "const" in choice:
        return "enum"
    if "anyOf" in choice:
        return "string"
    return str(choice.get("type", "any"))


def _phrase(choice: Schema) -> str:
    if "enum" in choice:
        return "one of " + ", ".join(str(word) for word in choice["enum"])
    if "const" in choice:
        return str(choice["const"])
    kind = choice.get("type")
    if kind == "object":
        names = list(choice.get("properties", ()))
        return "a map with the fields " + ", ".join(names) if names else "a map"
    if "description" in choice:
        return str(choice["description"])
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _limits(choice)
    return {"boolean": "true or false", "array": "a list", "string": "text"}.get(str(kind), "a value")


def _limits(choice: Schema) -> str:
    low, high = choice.get("minimum"), choice.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high}" if isinstance(low, float) else f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    if "exclusiveMinimum" in choice:
        return f" above {choice['exclusiveMinimum']:g}"
    return ""
