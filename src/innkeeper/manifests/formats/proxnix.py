"""proxnix: the machines of a `config.json`, or of a flake's output `proxnix`, which whoever calls evaluates.

Sources: the documents of proxnix, and where they say nothing its types `DesiredState` and `VmConfig`.
"""

import re
from collections.abc import Iterator, Mapping

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.formats.jsonfile import JsonFile, read_json
from innkeeper.manifests.formats.translated import Moves, Original, Traced
from innkeeper.manifests.formats.tree import Evaluate, Tree
from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.manifests.vocabulary import nearest
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.images import REFERENCE
from innkeeper.model.objects import Origin

CONFIG, FLAKE = "config.json", "flake.nix"
_IMAGES = "local:import"
"""Where the image of each type is expected, unless a manifest beside declares it: a storage with the content `import`.
"""
_TEMPLATES = "local:vztmpl"
_FIELDS = {
    "vm_id": "vmid",
    "blue_id": "vmid",
    "name": "hostname",
    "cores": "cpu.cores",
    "sockets": "cpu.sockets",
    "memory_mb": "memory",
    "disk_gb": "disks.0.size",
    "storage_location": "disks.0.storage",
    "image_type": "disks.0.importFrom",
    "network_bridge": "network.0.bridge",
    "cloud_init": "options.ide2",
    "scsi_hw": "options.scsihw",
    "disk_slot": "disks.0.slot",
    "protected": "protected",
    "tags": "tags",
    "node": "node",
}
_NOT_KEPT = {
    "green_id": "there is one machine, not two that take turns",
    "service_address": "no address moves from one machine to another",
    "backend_port": "no proxy is switched over",
    "hostname": "no proxy is switched over",
    "impure": "images are built by whoever builds them",
    "bind_mounts": "a directory of the node is named in mounts",
}
_WORD = re.compile(r"[^a-z0-9]+")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
Raw = Mapping[str, object]


def is_proxnix(tree: Tree) -> bool:
    """A `config.json` with machines, or a flake that speaks of the output `proxnix`."""
    if tree.has(CONFIG) and re.search(r'"vms"\s*:', tree.text(CONFIG) or ""):
        return True
    return re.search(r"\bproxnix\b\s*=", tree.text(FLAKE) or "") is not None


def translate(tree: Tree, evaluate: Evaluate | None) -> Iterator[Draft | Diagnostic]:
    """The machines of the flake where there is one, else of config.json."""
    if tree.has(FLAKE):
        place = Origin(Location(tree.file(FLAKE)))
        answer = evaluate(tree.root) if evaluate is not None else None
        if answer is None:
            problem, advice = "this flake must be evaluated, which is not done here", "nix eval --json .#proxnix"
            yield finding("NotEvaluated", place, "", problem, f"Save it as {CONFIG}: {advice}")
        elif isinstance(answer, Diagnostic):
            yield answer
        else:
            yield from _read(read_json(tree.file(FLAKE), answer), str(tree.root), located=False)
        return
    text = tree.text(CONFIG)
    if text is not None:
        yield from translate_text(tree.file(CONFIG), text, str(tree.root))


def translate_text(file: str, text: str, base: str) -> Iterator[Draft | Diagnostic]:
    """The machines of one JSON text."""
    yield from _read(read_json(file, text), base, located=True)


def _read(read: JsonFile | Diagnostic, base: str, *, located: bool) -> Iterator[Draft | Diagnostic]:
    if isinstance(read, Diagnostic):
        yield read
        return
    file = read if located else JsonFile(read.file, "", read.data)
    origin = Origin(Location(file.file), lambda path: file.find(path)[1])
    for section, kind in (("vms", "VirtualMachine"), ("containers", "Container")):
        entries = read.data.get(section)
        if entries is None and kind == "Container":
            continue
        if not isinstance(entries, dict):
            problem = f"expected an object, found {described(entries)}"
            yield finding("WrongType", origin, section, problem, 'Write "NAME": {"vm_id": …} into it.')
            continue
        if kind == "VirtualMachine":
            yield from _images(entries, file, section, base)
        for key, raw in entries.items():
            if not isinstance(raw, dict):
                problem = f"expected an object, found {described(raw)}"
                yield finding("WrongType", origin, f"{section}.{key}", problem, 'Write {"vm_id": …}.')
            else:
                yield from _guest(kind, key, raw, file, f"{section}.{key}", origin, base)


def _guest(
    kind: str, key: str, raw: Raw, file: JsonFile, path: str, origin: Origin, base: str
) -> Iterator[Draft | Diagnostic]:
    yield from _unknown(raw, path, origin)
    missing = [name for name in ("image_type",) if not isinstance(raw.get(name), str)]
    for name in missing:
        yield finding("MissingField", origin, f"{path}.{name}", "this field is required", "Name an image.")
    if missing:
        return
    spec = _machine(raw) if kind == "VirtualMachine" else _container(raw)
    init = raw.get("cloud_init")
    if isinstance(init, Mapping):
        reference = init.get("StorageReference")
        if not isinstance(reference, str) or set(init) != {"StorageReference"} or "," in reference:
            advice = 'Write "None", or {"StorageReference": "local:iso/…"}.'
            yield finding("BadValue", origin, f"{path}.cloud_init", "this is no volume", advice)
            return
        spec["options"] = {**_map(spec.get("options")), "ide2": f"{reference},media=cdrom"}
    elif init not in (None, "None"):
        problem = f"{described(init)} is none of its two forms"
        advice = 'Write "None", or {"StorageReference": "local:iso/…"}.'
        yield finding("BadValue", origin, f"{path}.cloud_init", problem, advice)
    moves: Moves = {f"spec.{ours}": (file, f"{path}.{theirs}") for theirs, ours in _FIELDS.items() if theirs in raw}
    whole = origin.at(path)
    name = _WORD.sub("-", key.lower()).strip("-") or key
    yield from Original(kind, name, spec, Traced(whole, moves), base=base).drafted()


def _volume(image: str) -> str:
    return f"{_IMAGES}/{image}.qcow2"


def _images(entries: Mapping[str, object], file: JsonFile, section: str, base: str) -> Iterator[Draft | Diagnostic]:
    """Each image that machines name, as a volume that is there; one whose name no manifest can have stays a volume."""
    named: dict[str, str] = {}
    for key, raw in entries.items():
        image = raw.get("image_type") if isinstance(raw, Mapping) else None
        if isinstance(image, str) and _LABEL.fullmatch(image):
            named.setdefault(image, f"{section}.{key}.image_type")
    for image, path in named.items():
        traced = Traced(file.find(path)[1] or Location(file.file), {"spec.volume": (file, path)})
        yield from Original("Image", image, {"volume": _volume(image)}, traced, base=base).drafted()


def _unknown(raw: Raw, path: str, origin: Origin) -> Iterator[Diagnostic]:
    for name in raw:
        place = f"{path}.{name}"
        if name in _NOT_KEPT:
            advice = "Leave it out here once it is no longer needed there."
            yield finding(
                "NotTranslated", origin, place, f"Innkeeper does not do this: {_NOT_KEPT[name]}", advice, "warning"
            )
        elif name not in _FIELDS:
            near = nearest(name, _FIELDS)
            advice = (f"Did you mean {near}? " if near else "") + f"Fields: {', '.join(_FIELDS)}."
            yield finding("UnknownField", origin, place, "there is no such field", advice)


def _machine(raw: Raw) -> dict[str, object]:
    slot = raw.get("disk_slot") or "scsi0"
    disk = {"slot": slot, "storage": raw.get("storage_location"), "size": _sized(raw.get("disk_gb"), "Gi")}
    image = str(raw["image_type"])
    disk |= {"importFrom": f"{REFERENCE}{image}" if _LABEL.fullmatch(image) else _volume(image)}
    spec = {
        **_common(raw),
        "cpu": _given({"cores": raw.get("cores"), "sockets": raw.get("sockets")}),
        "disks": (_given(disk),),
        "network": ({"model": "virtio", "bridge": raw.get("network_bridge") or "vmbr0"},),
        "bootOrder": (slot,),
        "options": {"scsihw": raw.get("scsi_hw") or "virtio-scsi-pci"},
    }
    return _given(spec)


def _container(raw: Raw) -> dict[str, object]:
    disk = {"storage": raw.get("storage_location"), "size": _sized(raw.get("disk_gb"), "Gi")}
    spec = {
        **_common(raw),
        "cpu": _given({"cores": raw.get("cores")}),
        "rootDisk": _given(disk),
        "template": f"{_TEMPLATES}/{raw['image_type']}.tar.xz",
        "unprivileged": True,
        "network": ({"name": "eth0", "bridge": raw.get("network_bridge") or "vmbr0", "ip": "dhcp"},),
    }
    return _given(spec)


def _common(raw: Raw) -> dict[str, object]:
    tags = raw.get("tags")
    return {
        "vmid": raw.get("vm_id", raw.get("blue_id")),
        "hostname": raw.get("name"),
        "node": raw.get("node"),
        "memory": _sized(raw.get("memory_mb"), "Mi"),
        "protected": raw.get("protected"),
        "tags": tuple(tags) if isinstance(tags, list) else tags,
        "running": True,
    }


def _sized(value: object, unit: str) -> object:
    """A number with its unit; what is no number is complained of as it is."""
    return f"{value}{unit}" if isinstance(value, int) and not isinstance(value, bool) and value > 0 else value


def _given(raw: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in raw.items() if value is not None and value != {}}


def _map(value: object) -> Raw:
    return value if isinstance(value, Mapping) else {}
